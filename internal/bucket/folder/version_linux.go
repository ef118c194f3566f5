package folder

import (
	"fmt"
	"io/fs"
	"syscall"
)

// versionOf distinguishes contents of a file by its inode and its time of last change (ctime), which no program can
// set.
func versionOf(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x", st.Ino, st.Ctim.Sec, st.Ctim.Nsec, st.Size)
}
