// Package sessionhistory generates the stubs of the contract, for this module and for modules that share them.
package sessionhistory

//go:generate buf generate
