#!/bin/bash
# fetch-data.sh: tools/fetch-data against a server of its own on 127.0.0.1,
# with small files in the place of the published ones.
set -euo pipefail
cd "$(dirname "$0")/.."
fetch=$PWD/tools/fetch-data
home=$(mktemp -d "${TMPDIR:-/tmp}/uh-fetch-XXXXXX")
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$home"' EXIT
unset DATA_MIRROR DATA_SUMS http_proxy HTTP_PROXY all_proxy ALL_PROXY
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

command -v python3 > /dev/null || { echo "  skipped: no python3 to serve files"; exit 0; }
command -v curl > /dev/null || command -v wget > /dev/null ||
    { echo "  skipped: neither curl nor wget"; exit 0; }

fail() {
    echo "fetch-data.sh: $*" >&2
    sed 's/^/    /' "$home/err" >&2
    exit 1
}
# run STATUS [ARGUMENT...]: what it says goes to $home/err, nothing elsewhere.
run() {
    local want=$1 status=0 out
    shift
    out=$("$fetch" "$@" 2> "$home/err" < /dev/null) || status=$?
    [ $status = "$want" ] || fail "expected status $want, found $status"
    [ -z "$out" ] || fail "expected nothing on stdout, found $out"
}
said() {
    grep -qF -- "$1" "$home/err" || fail "expected it to say: $1"
}
lines() {
    [ "$(wc -l < "$home/err")" = "$1" ] || fail "expected $1 lines"
}
there() { # FOLDER COUNT: so many files under final names
    local n
    n=$(find "$1" -type f -not -path '*/.fetch/*' | wc -l)
    [ "$n" = "$2" ] || fail "expected $2 files in $1, found $n"
}

# ---- what is served: /PATH as it is, /cut/PATH half of it unless continued,
# ---- /plain/PATH without continuing, /bad/PATH with other content
site=$home/site
mkdir -p "$site"/{mnist,notmnist,cifar10,cifar-10-batches-bin}
sums=$home/sums
for name in mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte \
    notmnist/t10k-{images-idx3,labels-idx1}-ubyte; do
    { echo "$name"; seq 20000; } > "$home/raw"
    echo "$(sha256sum < "$home/raw" | cut -c 1-64)  $name" >> "$sums"
    gzip -n < "$home/raw" > "$site/$name.gz"
done
for b in data_batch_{1..5} test_batch; do
    { echo $b; seq 9999; } > "$site/cifar-10-batches-bin/$b.bin"
    echo "$(sha256sum < "$site/cifar-10-batches-bin/$b.bin" | cut -c 1-64)  cifar10/$b.bin" >> "$sums"
done
tar -czf "$site/cifar10/cifar-10-binary.tar.gz" -C "$site" cifar-10-batches-bin
cat > "$home/serve.py" << 'END'
import http.server, os, re, sys
home = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        mode, path = re.match(r'/(?:(cut|plain|bad)/)?(.*)', self.path).groups()
        with open(home + '/log', 'a') as log:
            print(mode or 'whole', path, self.headers.get('Range', ''), file=log)
        try:
            body = open(home + '/site/' + path, 'rb').read()
        except OSError:
            self.send_error(404)
            return
        if mode == 'bad':
            body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
        part = re.match(r'bytes=(\d+)-$', self.headers.get('Range', ''))
        start = int(part[1]) if part and mode != 'plain' else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range',
                             'bytes %d-%d/%d' % (start, len(body) - 1, len(body)))
        self.send_header('Content-Length', str(len(body) - start))
        self.end_headers()
        body = body[start:]
        self.wfile.write(body[:len(body) // 2] if mode == 'cut' and not start else body)
    def log_message(self, *words):
        pass
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
open(home + '/port.new', 'w').write(str(s.server_address[1]))
os.rename(home + '/port.new', home + '/port')
s.serve_forever()
END
python3 "$home/serve.py" "$home" &
server=$!
for _ in {1..100}; do
    [ ! -e "$home/port" ] || break
    sleep 0.1
done
url=http://127.0.0.1:$(cat "$home/port")
export DATA_SUMS=$sums
good=$home/good

# ---- everything, then silence
DATA_MIRROR=$url run 0 "$good"
there "$good" 12
lines 7
cmp -s "$good/cifar10/test_batch.bin" "$site/cifar-10-batches-bin/test_batch.bin" ||
    fail "expected the batch as it was packed"
[ ! -e "$good/.fetch" ] || fail "expected no scratch at the end"
: > "$home/log"
DATA_MIRROR=$url run 0 "$good"
lines 0
[ ! -s "$home/log" ] || fail "expected no transfer when everything is there"

# ---- a file that is there as it is, not gzip'd, is as good
gzip -d "$good/mnist/t10k-labels-idx1-ubyte.gz"
run 0 "$good"
lines 0

# ---- a file that was changed is named, and not replaced
echo other > "$good/mnist/t10k-labels-idx1-ubyte"
DATA_MIRROR=$url run 1 "$good"
lines 1
said "mnist/t10k-labels-idx1-ubyte: expected SHA-256"
[ "$(cat "$good/mnist/t10k-labels-idx1-ubyte")" = other ] || fail "expected it left alone"
rm "$good/mnist/t10k-labels-idx1-ubyte"

# ---- cut off in the middle: nothing under a final name, then it goes on
part=$home/part
DATA_MIRROR=$url/cut run 1 "$part"
there "$part" 0
lines 2
said "expected to fetch 12 files, found no way; last, $url/cut/cifar10/cifar-10-binary.tar.gz: "
said "without a network, put these into $part"
: > "$home/log"
DATA_MIRROR=$url run 0 "$part"
there "$part" 12
[ "$(grep -c 'bytes=[1-9]' "$home/log")" = 7 ] || fail "expected 7 transfers to go on"
for f in mnist/train-images-idx3-ubyte.gz notmnist/t10k-labels-idx1-ubyte.gz; do
    cmp -s "$part/$f" "$site/$f" || fail "expected $f whole"
done

# ---- a server that does not continue: all of it again
rm -r "$part"
DATA_MIRROR=$url/cut run 1 "$part"
DATA_MIRROR=$url/plain run 0 "$part"
there "$part" 12

# ---- a part that is of something else: all of it again
rm -r "$part"
mkdir -p "$part/.fetch"
head -c 1000 /dev/zero > "$part/.fetch/mnist-train-images-idx3-ubyte.gz.part"
head -c 999999 /dev/zero > "$part/.fetch/mnist-t10k-images-idx3-ubyte.gz.part"
DATA_MIRROR=$url run 0 "$part"
there "$part" 12

# ---- other content than expected
rm -r "$part"
DATA_MIRROR=$url/bad run 1 "$part"
there "$part" 0
said "$url/bad/cifar10/cifar-10-binary.tar.gz: expected the published content, found other"
[ ! -e "$part/.fetch" ] || fail "expected nothing bad to be kept"

# ---- a file that the server does not have
mv "$site/notmnist/t10k-labels-idx1-ubyte.gz" "$home/"
DATA_MIRROR=$url run 1 "$part"
there "$part" 11
lines 8
said "expected to fetch 1 files, found no way; last, $url/notmnist/t10k-labels-idx1-ubyte.gz: "
mv "$home/t10k-labels-idx1-ubyte.gz" "$site/notmnist/"

# ---- a folder that is a file; wrong usage; help
echo > "$home/file"
DATA_MIRROR=$url run 1 "$home/file"
lines 1
said "folder: expected to write there"
run 2 --wrong
run 2 a b
"$fetch" --help | grep -q 'fetch-data \[FOLDER\]' || fail "expected --help to help"

# ---- nobody there
kill "$server"
wait "$server" 2> /dev/null || true
server=
rm -rf "$part"
DATA_MIRROR=$url run 1 "$part"
lines 2
said "expected to fetch 12 files"
there "$part" 0

# ---- the real files, where they are at hand, have the digests that we expect
unset DATA_SUMS
real=${DATA:-../shared/data}
if [ -e "$real/mnist/train-images-idx3-ubyte.gz" ] &&
    [ -e "$real/notmnist/t10k-images-idx3-ubyte.gz" ]; then
    mkdir "$home/real"
    ln -s "$(realpath "$real")"/{mnist,notmnist} "$home/real/"
    DATA_MIRROR=$url run 1 "$home/real"
    lines 2
    said "expected to fetch 6 files"
fi
echo "ok - fetch-data"
