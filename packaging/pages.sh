#!/bin/sh
# Writes the manual pages and the completion scripts for a package.
# Usage: pages.sh BINARY FOLDER
set -eu
binary=$1
folder=$2

mkdir -p "$folder"
"$binary" man > "$folder/flowgap.1"
# The main page names the pages of the verbs.
for verb in $(sed -n 's/^flowgap\\-\([a-z]*\)(1)$/\1/p' "$folder/flowgap.1"); do
    [ "$verb" = help ] || "$binary" man "$verb" > "$folder/flowgap-$verb.1"
done
"$binary" completions bash > "$folder/flowgap.bash"
"$binary" completions zsh > "$folder/_flowgap"
"$binary" completions fish > "$folder/flowgap.fish"
