# Read by a shell after `set -- PACKAGE|PACKAGE...`; prints those of which no alternative is installed, one a line.
# As MODE=known it prints the first alternative of each that the lists of apt or dnf know, the first one where none is.
if command -v dpkg-query >/dev/null 2>&1; then
    have() { case "$ALL" in *" $1 "*) return 0 ;; esac; return 1; }
    ALL=" $(dpkg-query -W -f '${db:Status-Status}/${Package} ' | tr ' ' '\n' | sed -n 's,^installed/,,p' | tr '\n' ' ')"
else
    have() { rpm -q --quiet --whatprovides "$1" 2>/dev/null; }
fi
if command -v apt-cache >/dev/null 2>&1; then
    known() { case "$(LC_ALL=C apt-cache policy "$1" 2>/dev/null)" in *"Candidate: "[0-9]*) return 0 ;; esac; return 1; }
else
    # Its exit code is 0 whatever it finds.
    known() { [ -n "$(dnf -q repoquery --whatprovides "$1" 2>/dev/null)" ]; }
fi
[ "${MODE:-}" != known ] || have() { known "$1"; }
for line; do
    first=${line%%|*} taken=
    rest=$line
    while [ -n "$rest" ]; do
        name=${rest%%|*}
        case $rest in *'|'*) rest=${rest#*|} ;; *) rest= ;; esac
        if [ -z "$taken" ] && have "$name"; then taken=$name; fi
    done
    if [ "${MODE:-}" = known ]; then echo "${taken:-$first}"; elif [ -z "$taken" ]; then echo "$line"; fi
done
[ "${MODE:-}" = known ] || command -v python3 >/dev/null 2>&1 || echo "python3"
