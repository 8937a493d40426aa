from apps.kit.addresses import network_of


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::"
    assert network_of("2001:db8::1%eth0") == "2001:db8::"
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")


def test_ipv4_addresses_count_each() -> None:
    assert network_of("203.0.113.9") == "203.0.113.9"
    assert network_of("::ffff:203.0.113.9") == "203.0.113.9"


def test_other_text_is_returned_as_it_is() -> None:
    assert network_of("unknown") == "unknown"
