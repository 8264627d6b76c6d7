"""Who is told?  Pure decisions (rules, policy) and, apart from them, delivery and sinks."""
