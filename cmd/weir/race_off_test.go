//go:build !race

package main

const memoryIsReal = true
