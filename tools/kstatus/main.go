// Command kstatus reads Kubernetes objects as JSON from standard input, one after another, and prints for each what
// kstatus makes of it: `Current`, `InProgress`, `Failed`, `Terminating`, a tab, and its message.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	documents := json.NewDecoder(in)
	for {
		var document json.RawMessage
		if err := documents.Decode(&document); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read an object: %w", err)
		}
		// Its own decoder keeps whole numbers whole, which a generation must be.
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(document); err != nil {
			return fmt.Errorf("read an object: %w", err)
		}
		result, err := status.Compute(&object)
		if err != nil {
			return fmt.Errorf("compute the status of %s: %w", object.GetName(), err)
		}
		fmt.Fprintf(out, "%s\t%s\n", result.Status, result.Message)
	}
}
