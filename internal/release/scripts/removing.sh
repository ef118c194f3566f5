#!/bin/sh
# Stops weir before it is removed; not before an upgrade. dpkg says what happens, rpm how many versions stay.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now weir.service || :
	fi
	;;
esac
