"""Messages for the user's mistakes."""

from analog_samson.errors import did_you_mean, list_faults


def test_list_faults_when_one_fault_uses_the_singular():
    assert list_faults("x.toml", ["a: wrong"]) == "x.toml: 1 problem\n  a: wrong"


def test_did_you_mean_when_nothing_is_near_says_nothing():
    assert did_you_mean("zzz", ["ideal"]) == ""
