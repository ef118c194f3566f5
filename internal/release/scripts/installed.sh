#!/bin/sh
# Makes weir's user and the folder for its state. It starts nothing, and a node that runs goes on as it is.
set -e
if command -v systemd-sysusers >/dev/null 2>&1; then
	systemd-sysusers /usr/lib/sysusers.d/weir.conf
elif ! getent passwd weir >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/weir --no-create-home --shell /usr/sbin/nologin weir
fi
install -d -o weir -g weir -m 0700 /var/lib/weir
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || :
fi
