"""``packgrade policy check``: what a bundle and a policy promise together, before a service is started with them.

Prints the certificate of every trained method and cut, or its refusal, as the same functions give it
that the service starts with.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from features.feature_set import Method
from models.bundle import Bundle, load_bundle
from models.certification import Certification, GroupCertification, MethodCertification, certified
from models.policy_file import load_policy
from models.promise import MIX_ONLY, promise_in_words, refusal_in_words, too_few_in_words
from serving.printing import certificate_table


def print_policy_check(console: Console, bundle_folder: Path, policy_file: Path, *, as_json: bool = False) -> bool:
    """Certify a bundle under a policy and print what is promised.

    Parameters
    ----------
    console : Console
        Where to print.
    bundle_folder, policy_file : Path
        The pair.
    as_json : bool
        Print the thresholds in force and the refusals as JSON instead.

    Returns
    -------
    bool
        Whether everything the policy asks can be promised.

    Raises
    ------
    PackGradeError
        If bundle or policy cannot be read, or the bundle has no probabilities at a cut.
    """
    bundle, policy = load_bundle(bundle_folder), load_policy(policy_file)
    bundle.require_cuts(policy.cuts)
    certification = certified(bundle.calibration, policy.cuts, policy.risk)
    if as_json:
        print(json.dumps(_as_json(certification), ensure_ascii=False, indent=2))
    else:
        stamp = policy.stamp
        console.print(f"policy {stamp.policy_id} {stamp.version}  {stamp.sha256[:12]}…  ({policy.status})")
        _print(console, bundle, certification)
    return not any(each.refused for each in certification.methods.values())


def _print(console: Console, bundle: Bundle, certification: Certification) -> None:
    stamp = bundle.stamp
    console.print(f"bundle {stamp['name']} {stamp['version']}  {stamp['sha256'][:12]}…", highlight=False)
    if not certification.methods:
        console.print("The bundle has no trained method; capacity tests are graded by their own uncertainty.")
    for method, found in certification.methods.items():
        for group in found.groups:
            _print_group(console, method, group)
        for line in _ungraded(bundle, certification, method, found):
            console.print(f"  {line}", highlight=False, soft_wrap=True)
    console.print(f"{MIX_ONLY.en}", highlight=False, soft_wrap=True)


def _print_group(console: Console, method: Method, group: GroupCertification) -> None:
    for refusal in group.refusals:
        console.print(f"REFUSED  {method.value}: {refusal_in_words(refusal).en}", highlight=False, soft_wrap=True)
    if group.certificates:
        console.print(certificate_table(method.value, group.certificates))
    for each in group.certificates:
        console.print(f"  {promise_in_words(each).en}", highlight=False, soft_wrap=True)


def _ungraded(
    bundle: Bundle, certification: Certification, method: Method, found: MethodCertification
) -> Iterator[str]:
    """Types of the bundle that this method does not grade."""
    least = certification.rule.least_batteries_per_type
    for known in bundle.manifest.known_types:
        if found.group_of(known.key) is None and method in known.calibration_batteries:
            yield f"Not graded: {too_few_in_words(known.key, found.left_out.get(known.key, 0), least).en}"


def _as_json(certification: Certification) -> dict[str, Any]:
    return {
        method.value: {
            "certificates": [asdict(each) for group in found.groups for each in group.certificates],
            "refusals": [
                {**asdict(each), "batteries_missing": each.batteries_missing}
                for group in found.groups
                for each in group.refusals
            ],
            "left_out": dict(found.left_out),
        }
        for method, found in certification.methods.items()
    }
