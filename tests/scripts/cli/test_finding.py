from scripts.cli.finding import Finding


def test_a_finding_with_a_remedy_is_not_well() -> None:
    assert Finding("disk", "9 GB free").well
    assert not Finding("disk", "0.1 GB free", "free some space").well
