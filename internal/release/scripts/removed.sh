#!/bin/sh
# Removes nothing: the logs, and the keys that sign them, are for somebody to remove who knows that they may go.
set -e
case "$1" in
remove | purge | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload || :
	fi
	if [ -d /var/lib/weir ]; then
		echo "/var/lib/weir stays, with the logs and the keys that sign them"
	fi
	;;
esac
