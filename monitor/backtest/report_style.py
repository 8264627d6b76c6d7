"""The style sheet of the report, for paper, phones and dark screens."""

STYLE = """
:root{--ink:#1c2330;--quiet:#5b6472;--paper:#fff;--line:#dfe3e8;--blue:#2563a8;--band:#2563a833;--red:#b3261e;
--green:#1b7a43;--sand:#c98a1b;--ref:#7b869488;--win:#d9622b77;--card:#f7f8fa}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--quiet:#9aa4b2;--paper:#14181f;--line:#2c333d;--blue:#6aa5e8;
--band:#6aa5e833;--red:#ff8a80;--green:#6fd19a;--sand:#e6b35a;--ref:#aab4c266;--win:#ff8f5a77;--card:#1b2028}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.5rem 0 .75rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}
h3{font-size:1rem;margin:.25rem 0}h3 small{color:var(--quiet);font-weight:400}
p{margin:.4rem 0;overflow-wrap:anywhere}.lead{font-size:1.15rem}.quiet{color:var(--quiet);font-size:.9rem}
article{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem;margin:1rem 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--quiet);font-weight:600}.right{text-align:right;font-variant-numeric:tabular-nums}
td:first-child{white-space:nowrap}
.firing,.gone{color:var(--red);font-weight:600}.resolved,.left{color:var(--green)}
svg{width:100%;height:auto;display:block}
.tick{font-size:11px;fill:var(--quiet)}.name{font-size:12px;fill:var(--ink)}
.grid{stroke:var(--line)}.band{fill:var(--band)}
.value{fill:none;stroke:var(--blue);stroke-width:1;stroke-dasharray:2 3}
.judged{fill:none;stroke:var(--blue);stroke-width:2}
.threshold{stroke:var(--sand);stroke-width:1.5;stroke-dasharray:6 4}
.rail{fill:var(--line)}rect.firing{fill:var(--red)}
.reference{fill:var(--ref)}.window{fill:var(--win)}
.legend i{display:inline-block;width:1.1rem;height:.6rem;margin:0 .3rem 0 .8rem;vertical-align:baseline}
.k-value{border-top:2px dotted var(--blue)}.k-judged{border-top:3px solid var(--blue)}.k-band{background:var(--band)}
.k-threshold{border-top:3px dashed var(--sand)}.k-reference{background:var(--ref)}.k-window{background:var(--win)}
@media(max-width:40rem){.scroll table{min-width:38rem}.tick{font-size:17px}.name{font-size:18px}}
@media print{article{break-inside:avoid}}
"""
