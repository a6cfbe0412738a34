#!/bin/sh
# Becomes the router, so that it gets the signals of the container. Words behind the image's name go to it.
set -eu
if [ "$#" -eq 0 ]; then
    set -- -c /fluent-bit/etc/fluent-bit.conf
fi
case "$1" in
    -*) exec /fluent-bit/bin/fluent-bit "$@" ;;
    *) exec "$@" ;;
esac
