#!/bin/sh
# Installs the servers that the tests talk to: Java and Maven (for Apache Kafka), Prometheus with promtool.
#
# Distribution packages are installed where apt-get exists and this user may call it (root, or sudo that asks for
# no password). What cannot be had is said loudly: the tests that need it are then skipped. With CI=true
# nothing may be missing.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
jars="$root/.servers/kafka-libs"
missing=""

lacks() { ! command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    if lacks apt-get; then return 1; fi
    [ "$(id -u)" -eq 0 ] || { ! lacks sudo && sudo -n true 2>/dev/null; }
}

# Debian starts a daemon as soon as its package is unpacked, unless policy-rc.d forbids it.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    [ -e "$policy" ] && return 0
    trap 'as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
}

install_packages() {
    echo "tests/servers: installing $*"
    prometheus_was_here=yes
    lacks prometheus && prometheus_was_here=no
    forbid_services
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null || return 1
    # Nor may it start at the next boot. A Prometheus that was here before is its owner's own affair.
    if [ "$prometheus_was_here" = no ] && ! lacks systemctl; then
        as_root systemctl disable --now prometheus.service >/dev/null 2>&1 || true
    fi
}

packages=""
lacks java && packages="$packages openjdk-17-jre-headless"
lacks mvn && [ ! -d "$jars" ] && packages="$packages maven"
{ lacks prometheus || lacks promtool; } && packages="$packages prometheus"
if [ -n "$packages" ]; then
    if may_install; then
        as_root apt-get -qq update || echo "tests/servers: apt-get update failed; using the lists at hand" >&2
        # One by one: a distribution that lacks one of them may still have the others.
        for package in $packages; do
            install_packages "$package" || echo "tests/servers: $package could not be installed" >&2
        done
    else
        echo "tests/servers: may not install:$packages (needs apt-get, and root or sudo without a password)" >&2
    fi
fi

# The jars belong to one version of pom.xml, whose hash is kept beside them.
wanted=$(sha256sum "$here/pom.xml" | cut -d ' ' -f 1)
if [ "$(cat "$jars/pom.sha256" 2>/dev/null)" != "$wanted" ]; then
    if lacks mvn; then
        missing="$missing\n  Apache Kafka: Maven (mvn) is not installed, so its jars cannot be fetched"
    else
        echo "tests/servers: fetching Apache Kafka with Maven"
        # Fetched beside and moved whole: an interrupted download never looks complete.
        mkdir -p "$root/.servers"
        fresh=$(mktemp -d "$root/.servers/kafka-libs.XXXXXX")
        if mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fresh"; then
            echo "$wanted" >"$fresh/pom.sha256"
            rm -rf "$jars"
            mv "$fresh" "$jars"
        else
            rm -rf "$fresh"
            missing="$missing\n  Apache Kafka: Maven could not fetch its jars (see above)"
        fi
    fi
fi
lacks java && missing="$missing\n  Apache Kafka: java is not installed"
lacks prometheus && missing="$missing\n  Prometheus: prometheus is not installed"
lacks promtool && missing="$missing\n  Prometheus: promtool is not installed"

if [ -n "$missing" ]; then
    {
        echo "********************************************************************************"
        printf "tests/servers: MISSING, so the tests that need them cannot run:%b\n" "$missing"
        echo "********************************************************************************"
    } >&2
    [ "${CI:-}" = true ] && exit 1
fi
exit 0
