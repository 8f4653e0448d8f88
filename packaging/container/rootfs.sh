#!/bin/sh
# Writes the file system of an image: the binary, the libraries that it loads, certificates, and folders for state and
# temporary files.
# Usage: rootfs.sh BINARY FOLDER
set -eu
binary=$1
root=$2

install -D -m 0755 "$binary" "$root/usr/bin/flowgap"
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
    install -D -m 0755 "$library" "$root$library"
done
install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
echo 'flowgap:x:65532:65532::/var/lib/flowgap:/sbin/nologin' > "$root/etc/passwd"
echo 'flowgap:x:65532:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
install -d -m 0700 -o 65532 -g 65532 "$root/var/lib/flowgap"
install -d -m 1777 "$root/tmp"
