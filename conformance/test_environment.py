"""`azure-sim env`: its lines are evaluated by a shell, and the clients that start there need no other word."""

import os
import subprocess
import sys

import pytest
from simulator import CLIENTS, ML, PLATFORM, shell_lines

SIGN_IN = {"AZURE_CLIENT_ID": CLIENTS["owner"], "AZURE_CLIENT_SECRET": "owner-secret-of-no-worth"}

# Unchanged clients with their defaults: nothing of a simulator in these lines.
PUBLIC = """
from azure.identity import EnvironmentCredential
from azure.mgmt.resource.subscriptions import SubscriptionClient
print(*sorted(s.subscription_id for s in SubscriptionClient(EnvironmentCredential()).subscriptions.list()))
"""
SDK = """
import os
from azure.identity import EnvironmentCredential
from azure.mgmt.resource.subscriptions import SubscriptionClient
arm = os.environ["AZURE_RESOURCE_MANAGER"]
scopes = ["https://management.azure.com/.default"]
credential = EnvironmentCredential(disable_instance_discovery=True)
client = SubscriptionClient(credential, base_url=arm, credential_scopes=scopes)
print(*sorted(s.subscription_id for s in client.subscriptions.list()))
"""


@pytest.mark.parametrize("audience, program", [("sdk", SDK), ("public-cloud", PUBLIC)])
def test_clients_that_start_where_its_lines_were_evaluated_find_the_world(azure, audience, program):
    script = shell_lines(azure.folder.name, audience) + 'exec "$PYTHON" -c "$PROGRAM"'
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PROGRAM": program, **SIGN_IN}
    done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [PLATFORM, ML]


def test_without_a_simulator_it_says_what_is_missing(tmp_path):
    command = [os.environ["AZURE_SIM"], "env", "--state-dir", str(tmp_path), "--for", "az"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "azure-sim.json" in done.stderr and "--state-dir" in done.stderr
