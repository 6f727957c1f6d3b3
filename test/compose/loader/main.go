// Loads a compose file with Compose's own loader and refuses what is off its schema: unknown keys,
// wrong types, a depends_on that names nobody, a required variable without a value. Variables come from
// the .env file beside it alone. Prints the loaded project
// as JSON, for the tests that look further. Needs no container engine.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: compose-loader FILE [PROFILE...]"))
	}
	options, err := cli.NewProjectOptions(os.Args[1:2],
		cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles(os.Args[2:]))
	if err != nil {
		fail(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(project); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
