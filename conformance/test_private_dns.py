"""azure-mgmt-privatedns: zones, links, record sets of every type."""

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.privatedns import PrivateDnsManagementClient
from simulator import PLATFORM, resource

HUB = resource("Microsoft.Network/virtualNetworks", "hub", "network")
SPOKE = resource("Microsoft.Network/virtualNetworks", "spoke", "network")


@pytest.fixture(scope="module")
def dns(azure):
    client = azure.client(PrivateDnsManagementClient, PLATFORM)
    client.private_zones.begin_create_or_update("dns", "contoso.internal", {"location": "global"}).result()
    return client


def code_of(call):
    with pytest.raises(HttpResponseError) as refusal:
        answer = call()
        answer.result() if hasattr(answer, "result") else list(answer)
    return refusal.value.status_code, refusal.value.error.code


class TestZones:
    def test_a_zone_is_made_counted_and_deleted(self, dns, recorder, azure):
        watched = azure.client(PrivateDnsManagementClient, PLATFORM, recorder=recorder)
        made = watched.private_zones.begin_create_or_update("dns", "one.internal", {"location": "global"}).result()
        assert (made.provisioning_state, made.number_of_record_sets) == ("Succeeded", 1)
        headers = {name.lower(): value for name, value in recorder.answers[0][3].items()}
        for name in ["azure-asyncoperation", "location"]:
            assert "/resourceGroups/dns/providers/Microsoft.Network/privateDnsOperation" in headers[name]
        assert "one.internal" in [z.name for z in watched.private_zones.list_by_resource_group("dns")]
        watched.private_zones.begin_delete("dns", "one.internal").result()
        with pytest.raises(ResourceNotFoundError):
            watched.private_zones.get("dns", "one.internal")
        assert code_of(lambda: watched.record_sets.list("dns", "one.internal"))[0] == 404

    def test_only_global(self, dns):
        call = lambda: dns.private_zones.begin_create_or_update("dns", "x.internal", {"location": "westeurope"})
        assert code_of(call) == (400, "LocationNotAvailableForResourceType")

    @pytest.mark.parametrize("name", ["a..b", "a b.c", "-_-.", "x" * 64 + ".y"])
    def test_names_that_are_none(self, dns, name):
        assert code_of(lambda: dns.private_zones.begin_create_or_update("dns", name, {"location": "global"}))[0] in (
            400,
            404,
        )

    def test_only_if_it_is_new(self, dns):
        call = lambda: dns.private_zones.begin_create_or_update(
            "dns", "contoso.internal", {"location": "global"}, match_condition=MatchConditions.IfMissing
        )
        assert code_of(call)[0] == 412


class TestLinks:
    def test_a_link_is_made_changed_and_deleted(self, dns):
        body = {"location": "global", "properties": {"virtualNetwork": {"id": HUB}, "registrationEnabled": False}}
        made = dns.virtual_network_links.begin_create_or_update("dns", "contoso.internal", "hub", body).result()
        assert (made.virtual_network_link_state, made.resolution_policy) == ("Completed", "Default")
        changed = dns.virtual_network_links.begin_update(
            "dns", "contoso.internal", "hub", {"properties": {"registrationEnabled": True}, "tags": {"a": "b"}}
        ).result()
        assert changed.registration_enabled is True and changed.tags == {"a": "b"}
        zone = dns.private_zones.get("dns", "contoso.internal")
        assert (zone.number_of_virtual_network_links, zone.number_of_virtual_network_links_with_registration) == (1, 1)
        assert code_of(lambda: dns.private_zones.begin_delete("dns", "contoso.internal")) == (
            409,
            "CannotDeleteResource",
        )
        dns.virtual_network_links.begin_delete("dns", "contoso.internal", "hub").result()
        assert list(dns.virtual_network_links.list("dns", "contoso.internal")) == []

    def test_a_network_that_is_not_there(self, dns):
        body = {"location": "global", "properties": {"virtualNetwork": {"id": HUB + "x"}, "registrationEnabled": False}}
        call = lambda: dns.virtual_network_links.begin_create_or_update("dns", "contoso.internal", "none", body)
        assert code_of(call) == (400, "BadRequest")

    def test_redirection_only_for_private_link_zones(self, dns):
        body = {
            "location": "global",
            "properties": {
                "virtualNetwork": {"id": SPOKE},
                "registrationEnabled": False,
                "resolutionPolicy": "NxDomainRedirect",
            },
        }
        call = lambda: dns.virtual_network_links.begin_create_or_update("dns", "contoso.internal", "spoke", body)
        assert code_of(call) == (400, "BadRequest")


class TestRecordSets:
    @pytest.mark.parametrize(
        "kind, name, properties, fqdn",
        [
            ("A", "www", {"aRecords": [{"ipv4Address": "10.0.0.4"}]}, "www.contoso.internal."),
            ("A", "@", {"aRecords": [{"ipv4Address": "10.0.0.4"}]}, "contoso.internal."),
            ("A", "*", {"aRecords": [{"ipv4Address": "10.0.0.4"}]}, "*.contoso.internal."),
            ("AAAA", "v6", {"aaaaRecords": [{"ipv6Address": "fd00::4"}]}, "v6.contoso.internal."),
            ("CNAME", "alias", {"cnameRecord": {"cname": "www.contoso.internal"}}, "alias.contoso.internal."),
            ("MX", "mail", {"mxRecords": [{"preference": 10, "exchange": "m.x"}]}, "mail.contoso.internal."),
            ("PTR", "4", {"ptrRecords": [{"ptrdname": "www.contoso.internal"}]}, "4.contoso.internal."),
            (
                "SRV",
                "_sip._tcp",
                {"srvRecords": [{"priority": 1, "weight": 2, "port": 3, "target": "t.x"}]},
                "_sip._tcp.contoso.internal.",
            ),
            ("TXT", "note", {"txtRecords": [{"value": ["a", "b"]}]}, "note.contoso.internal."),
        ],
    )
    def test_every_type_is_written_read_and_deleted(self, dns, kind, name, properties, fqdn):
        body = {"properties": {"ttl": 60, **properties}}
        made = dns.record_sets.create_or_update("dns", "contoso.internal", kind, name, body)
        assert (made.fqdn, made.ttl, made.is_auto_registered) == (fqdn, 60, False)
        assert dns.record_sets.get("dns", "contoso.internal", kind, name).etag == made.etag
        assert name in [r.name for r in dns.record_sets.list_by_type("dns", "contoso.internal", kind)]
        dns.record_sets.delete("dns", "contoso.internal", kind, name)
        with pytest.raises(ResourceNotFoundError):
            dns.record_sets.get("dns", "contoso.internal", kind, name)

    def test_a_patch_of_ttl_or_metadata_alone_keeps_the_records(self, dns):
        body = {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.4"}]}}
        dns.record_sets.create_or_update("dns", "contoso.internal", "A", "kept", body)
        dns.record_sets.update("dns", "contoso.internal", "A", "kept", {"properties": {"ttl": 90}})
        after = dns.record_sets.update("dns", "contoso.internal", "A", "kept", {"properties": {"metadata": {"a": "b"}}})
        assert (after.ttl, after.metadata, [r.ipv4_address for r in after.a_records]) == (90, {"a": "b"}, ["10.0.0.4"])

    def test_all_types_in_one_list_and_by_the_end_of_their_names(self, dns):
        for name in ["a.dev", "b.dev", "c.prod"]:
            body = {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.4"}]}}
            dns.record_sets.create_or_update("dns", "contoso.internal", "A", name, body)
        kinds = {r.type.rsplit("/", 1)[1] for r in dns.record_sets.list("dns", "contoso.internal")}
        assert {"A", "SOA"} <= kinds
        ends = [r.name for r in dns.record_sets.list("dns", "contoso.internal", recordsetnamesuffix=".dev")]
        assert sorted(ends) == ["a.dev", "b.dev"]

    def test_pages_of_any_size_hold_everything_once(self, dns):
        pages = list(dns.record_sets.list("dns", "contoso.internal", top=1).by_page())
        names = [r.name for page in pages for r in page]
        assert len(pages) > 2 and len(names) == len(set(names) | {"@"})

    def test_the_authority_stays(self, dns):
        soa = dns.record_sets.get("dns", "contoso.internal", "SOA", "@")
        assert soa.soa_record.host
        assert code_of(lambda: dns.record_sets.delete("dns", "contoso.internal", "SOA", "@"))[0] == 400

    def test_an_entity_tag_that_changed_stops_a_write(self, dns):
        body = {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.4"}]}}
        made = dns.record_sets.create_or_update("dns", "contoso.internal", "A", "tagged", body)
        dns.record_sets.create_or_update(
            "dns", "contoso.internal", "A", "tagged", {"properties": {**body["properties"], "ttl": 61}}
        )
        with pytest.raises(HttpResponseError) as refusal:
            dns.record_sets.create_or_update(
                "dns",
                "contoso.internal",
                "A",
                "tagged",
                body,
                etag=made.etag,
                match_condition=MatchConditions.IfNotModified,
            )
        assert refusal.value.status_code == 412

    @pytest.mark.parametrize(
        "kind, name, properties",
        [
            ("A", "bad", {"ttl": 0, "aRecords": [{"ipv4Address": "10.0.0.4"}]}),
            ("A", "bad", {"ttl": 60, "aRecords": []}),
            ("A", "bad", {"ttl": 60, "aRecords": [{"ipv4Address": "nonsense"}]}),
            ("A", "bad", {"ttl": 60, "cnameRecord": {"cname": "x"}}),
            ("A", "a..b", {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.4"}]}),
            ("CNAME", "@", {"ttl": 60, "cnameRecord": {"cname": "x"}}),
        ],
    )
    def test_what_is_no_record_set_is_refused(self, dns, kind, name, properties):
        call = lambda: [
            dns.record_sets.create_or_update("dns", "contoso.internal", kind, name, {"properties": properties})
        ]
        assert code_of(call) == (400, "BadRequest")
