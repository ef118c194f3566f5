module github.com/weirlog/weir

go 1.26
