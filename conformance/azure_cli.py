"""`az`, unchanged, with a home of its own; told of a simulator by what `azure-sim env` prints."""

import json
import os
import subprocess

from simulator import shell_lines

AZ = os.environ.get("AZ_PYTHON")


class Az:
    def __init__(self, state_folder, ca, folder, client, secret, subscription):
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AZURE_CONFIG_DIR": str(folder / "az"),
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "REQUESTS_CA_BUNDLE": ca,
        }
        lines = shell_lines(state_folder, "az")
        function = 'az() { "$AZ_PYTHON" -m azure.cli "$@" --output none; }\n'
        sign_in = {"AZURE_CLIENT_ID": client, "AZURE_CLIENT_SECRET": secret, "AZ_PYTHON": AZ}
        done = subprocess.run(
            ["bash", "-euc", function + lines],
            env={**self.environment, **sign_in},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        self("account", "set", "--subscription", subscription)

    def __call__(self, *words):
        """What it prints, as JSON; it has to succeed."""
        command = [AZ, "-m", "azure.cli", *words, "--output", "json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"az {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None
