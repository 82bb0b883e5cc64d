from itertools import pairwise

from memory.knobs import Knobs


def _ladder() -> list[Knobs]:
    rungs = [Knobs()]
    while higher := rungs[-1].raised():
        rungs.append(higher)
    return rungs


def test_the_ladder_goes_from_the_index_over_longer_scans_to_exact_search() -> None:
    rungs = _ladder()
    changed = [
        next(name for name in ("ef_search", "max_scan_tuples", "exact_only") if getattr(one, name) != getattr(other, name))
        for one, other in pairwise(rungs)
    ]
    assert changed == sorted(changed, key=["ef_search", "max_scan_tuples", "exact_only"].index)
    assert set(changed) == {"ef_search", "max_scan_tuples", "exact_only"}
    assert rungs[-1].exact_only


def test_no_rung_is_lower_than_the_one_before_or_beyond_what_pgvector_takes() -> None:
    rungs = _ladder()
    for one, other in pairwise(rungs):
        assert one.ef_search <= other.ef_search <= 1000
        assert one.max_scan_tuples <= other.max_scan_tuples


def test_settings_below_the_defaults_climb_the_same_ladder() -> None:
    assert Knobs(ef_search=10).raised() == Knobs(ef_search=20)
