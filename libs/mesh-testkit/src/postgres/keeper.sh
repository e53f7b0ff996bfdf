# Keeps one throw-away PostgreSQL server for as long as somebody holds the other end of its standard input.
# Each line that comes in is an order; each line that goes out says how it went.
#
# $1: the folder of PostgreSQL's programs
# $2: a folder of the server's own; it goes away with the server

bin=$1 home=$2 server=

# When whoever gave the orders is gone, there is still something to clean up. Nobody may be there to hear an
# answer, and the kernel hangs up on a group of processes that has lost its parent and has stopped members.
trap '' PIPE HUP

make() {
  "$bin/initdb" --pgdata=data --username=postgres --pwfile=password --encoding=UTF8 --locale=C \
    --auth-local=trust --auth-host=password --no-sync --no-instructions
}

copy() {
  "$bin/pg_basebackup" --pgdata=data --dbname="$1" --write-recovery-conf --checkpoint=fast --no-sync
}

start() {
  "$bin/postgres" -D data </dev/null &
  server=$!
  until "$bin/pg_isready" --quiet --host="$home" --port="$1"; do
    kill -0 "$server" || return 1
    sleep 0.05
  done
}

stop() {
  kill "-$1" "$server" && reap
}

# Takes note of the end of the server: a zombie would look alive to the next one.
reap() {
  wait "$server"
  server=
}

cd "$home" || exit 1
while read -r order argument; do
  if "$order" "$argument" >>log 2>&1; then echo "done $server"; else echo failed; fi
done

if [ -n "$server" ]; then
  # A process that was stopped does not hear that it shall end.
  kill -CONT "$server" $(cat "/proc/$server/task/$server/children")
  stop QUIT
fi 2>/dev/null
rm -rf "$home"
