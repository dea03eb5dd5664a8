"""One azure-sim, started for a test: the program itself, over TLS with its own root, as any client meets it."""

import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import ClientSecretCredential

HERE = pathlib.Path(__file__).parent
TENANT = "0a000000-0000-4000-8000-0000000000ff"
PLATFORM = "0a000000-0000-4000-8000-000000000001"
ML = "0a000000-0000-4000-8000-000000000002"
CLIENTS = {
    name: f"0c000000-0000-4000-8000-{number:012}" for number, name in enumerate(["owner", "reader", "stranger"], 1)
}
OBJECTS = {name: client.replace("0c", "0b", 1) for name, client in CLIENTS.items()}


def group(name, subscription=PLATFORM):
    return f"/subscriptions/{subscription}/resourceGroups/{name}"


def resource(kind, name, in_group, subscription=PLATFORM):
    return f"{group(in_group, subscription)}/providers/{kind}/{name}"


def shell_lines(state_folder, audience):
    """What `azure-sim env` prints."""
    command = [os.environ["AZURE_SIM"], "env", "--state-dir", str(state_folder), "--for", audience]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Recorder(SansIOHTTPPolicy):
    """Keeps every answer of ARM as it came over the wire, before any model."""

    def __init__(self):
        self.answers = []

    def on_response(self, request, response):
        sent, got = request.http_request, response.http_response
        got.read()
        try:
            body = json.loads(got.text())
        except ValueError:
            body = None
        self.answers.append((sent.method, sent.url, got.status_code, dict(got.headers), body))

    @property
    def last(self):
        return self.answers[-1]


class Simulator:
    """A running azure-sim with `changes` to its seed, as lines of YAML after those of world.yaml, or of another world."""

    def __init__(self, changes="", world=None, patience=20):
        self.folder = tempfile.TemporaryDirectory(prefix="azure-sim-")
        seed = pathlib.Path(self.folder.name, "seed.yaml")
        seed.write_text((world or (HERE / "world.yaml").read_text()) + changes)
        self.log = open(pathlib.Path(self.folder.name, "log"), "w+")
        command = [os.environ["AZURE_SIM"], "serve", "--seed", str(seed), "--state-dir", self.folder.name]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        state = pathlib.Path(self.folder.name, "azure-sim.json")
        deadline = time.monotonic() + patience
        while not state.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f"azure-sim did not start: {self.log.read()}")
            time.sleep(0.02)
        told = json.loads(state.read_text())
        self.base, self.ca, self.networks = told["armEndpoint"], told["caFile"], told["networks"]
        self.tls = ssl.create_default_context(cafile=self.ca)

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
        self.folder.cleanup()

    def credential(self, who="owner", secret=None, client=None, tenant=TENANT):
        return ClientSecretCredential(
            tenant,
            client or CLIENTS[who],
            secret or f"{who}-secret-of-no-worth",
            authority=self.base,
            disable_instance_discovery=True,
            connection_verify=self.ca,
        )

    def client(self, kind, *arguments, who="owner", recorder=None, **more):
        """An official client, aimed here and changed in nothing else."""
        if recorder is not None:
            more["per_retry_policies"] = [recorder]
        return kind(
            self.credential(who),
            *arguments,
            base_url=self.base,
            credential_scopes=["https://management.azure.com/.default"],
            connection_verify=self.ca,
            **more,
        )

    def ask(self, method, path, body=None, token=None, headers=None):
        """A request without any client: status, headers, JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, context=self.tls) as got:
                return got.status, dict(got.headers), json.loads(got.read() or b"null")
        except urllib.error.HTTPError as refused:
            text = refused.read()
            return refused.code, dict(refused.headers), json.loads(text) if text else None

    def token(self, who="owner", scope="https://management.azure.com/.default"):
        return self.credential(who).get_token(scope).token

    def arm(self, method, path, version, body=None, who="owner"):
        mark = "&" if "?" in path else "?"
        return self.ask(method, f"{path}{mark}api-version={version}", body, self.token(who))

    def switch(self, **switches):
        status, _, _ = self.ask("POST", "/_sim/switches", switches)
        assert status == 200, switches
