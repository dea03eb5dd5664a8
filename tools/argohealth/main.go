// Command argohealth reads Kubernetes objects as JSON from standard input, one after another, and prints for each what a health
// check of Argo CD makes of it: its status, a tab, and its message. The check is a file of Lua that sees the object as `obj` and
// returns a table, in the interpreter that Argo CD has inside and with the libraries that it opens there.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	lua "github.com/yuin/gopher-lua"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argohealth FILE.lua <objects")
		os.Exit(2)
	}
	check, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = run(string(check), os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "argohealth:", err)
		os.Exit(1)
	}
}

func run(check string, in io.Reader, out io.Writer) error {
	documents := json.NewDecoder(in)
	for {
		var object any
		if err := documents.Decode(&object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read an object: %w", err)
		}
		status, message, err := judge(check, object)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\t%s\n", status, message)
	}
}

// judge runs the check on one object, each time from nothing.
func judge(check string, object any) (string, string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	// No files, no processes: Argo CD opens these unless an administrator says otherwise.
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return "", "", fmt.Errorf("open the library %s: %w", library.name, err)
		}
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(check); err != nil {
		return "", "", fmt.Errorf("run the check: %w", err)
	}
	health, is := state.Get(-1).(*lua.LTable)
	if !is {
		return "", "", errors.New("the check returned no table")
	}
	return lua.LVAsString(health.RawGetString("status")), lua.LVAsString(health.RawGetString("message")), nil
}

// value is what Lua sees of a JSON value.
func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case string:
		return lua.LString(of)
	case float64:
		return lua.LNumber(of)
	case bool:
		return lua.LBool(of)
	case []any:
		table := state.NewTable()
		for _, item := range of {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range of {
			table.RawSetString(key, value(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
