package folder

import (
	"fmt"
	"io/fs"
	"syscall"
)

// versionOf tells contents of a file apart: by its inode, and by the time of its last change of any kind, which no
// program can set.
func versionOf(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x", st.Ino, st.Ctim.Sec, st.Ctim.Nsec, st.Size)
}
