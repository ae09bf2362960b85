"""The harness does to a workflow what GitHub does."""

import pytest

from workflows.forge import results
from workflows.harness.documents import DocumentError
from workflows.harness.outputs import SUMMARY_MAX_BYTES, annotations
from workflows.harness.service import Environment

HEAD = "on: push\npermissions: {}\njobs:\n"


def test_jobs_run_after_what_they_need_and_are_skipped_with_it(toy):
    found = toy(
        HEAD
        + """
  last: {needs: [broken], runs-on: x, steps: [run: echo no]}
  broken: {needs: first, runs-on: x, steps: [run: 'false']}
  first: {runs-on: x, steps: [run: echo yes]}
  gate: {needs: [last], if: always(), runs-on: x, steps: [run: echo gate]}
  after: {needs: [gate], runs-on: x, steps: [run: echo no]}
"""
    )

    assert results(found) == {
        "first": "success",
        "broken": "failure",
        "last": "skipped",
        "gate": "success",
        "after": "skipped",  # for an ancestor of it was
    }


def test_an_output_travels_from_a_step_to_another_job(toy):
    found = toy(
        HEAD
        + """
  plan:
    runs-on: x
    outputs:
      models: ${{ steps.find.outputs.models }}
      text: ${{ steps.find.outputs.text }}
    steps:
      - id: find
        run: |
          echo 'models=["a", "b"]' >> "$GITHUB_OUTPUT"
          printf 'text<<END\\none\\ntwo=2\\nEND\\n' >> "$GITHUB_OUTPUT"
  each:
    needs: plan
    runs-on: x
    strategy:
      matrix:
        model: ${{ fromJSON(needs.plan.outputs.models) }}
    steps:
      - run: echo "$MODEL of $TEXT"
        env:
          MODEL: ${{ matrix.model }}
          TEXT: ${{ needs.plan.outputs.text }}
"""
    )

    logs = [leg.log for leg in found["each"].legs]
    assert logs == ["a of one\ntwo=2\n", "b of one\ntwo=2\n"]


def test_a_pipe_hides_a_failure_unless_bash_is_named(toy):
    found = toy(
        HEAD
        + """
  unnamed: {runs-on: x, steps: [run: false | cat]}
  named: {runs-on: x, steps: [{run: false | cat, shell: bash}]}
  default: {runs-on: x, defaults: {run: {shell: bash}}, steps: [run: false | cat]}
"""
    )

    assert results(found) == {
        "unnamed": "success",
        "named": "failure",
        "default": "failure",
    }


def test_environment_and_path_reach_the_steps_that_follow(toy):
    found = toy(
        HEAD
        + """
  job:
    runs-on: x
    env: {A: job, B: job}
    steps:
      - run: |
          echo A=step >> "$GITHUB_ENV"
          mkdir bin; printf '#!/bin/sh\\necho tool' > bin/tool; chmod +x bin/tool
          echo "$PWD/bin" >> "$GITHUB_PATH"
      - {run: 'echo "$A $B $C"; tool', env: {C: '${{ env.A }}'}}
"""
    )

    assert found["job"].log.endswith("step job step\ntool\n")


def test_a_failed_step_skips_those_that_do_not_ask_for_failure(toy):
    found = toy(
        HEAD
        + """
  job:
    runs-on: x
    steps:
      - {id: one, run: exit 3, continue-on-error: true}
      - name: outcome
        run: test "$OUTCOME" = failure
        env: {OUTCOME: '${{ steps.one.outcome }}'}
      - {name: breaks, run: exit 3}
      - {name: never, run: echo}
      - {name: cleans, run: echo, if: always()}
      - {name: tells, run: echo, if: failure()}
"""
    )

    executed = found["job"].executed
    assert executed == ["exit 3", "outcome", "breaks", "cleans", "tells"]
    assert found["job"].result == "failure"


def test_the_first_failed_leg_cancels_the_others_unless_told_otherwise(toy):
    job = """
    runs-on: x
    strategy: {{fail-fast: {0}, matrix: {{n: [1, 2, 3]}}}}
    steps: [{{run: 'test "$N" = 1', env: {{N: '${{{{ matrix.n }}}}'}}}}]
"""
    found = toy(HEAD + "  fast:" + job.format("true") + "  slow:" + job.format("false"))

    assert [leg.result for leg in found["fast"].legs] == [
        "success",
        "failure",
        "cancelled",
    ]
    assert [leg.result for leg in found["slow"].legs] == [
        "success",
        "failure",
        "failure",
    ]


def test_an_empty_matrix_fails_the_job_instead_of_skipping_it(toy):
    found = toy(
        HEAD
        + """
  job:
    runs-on: x
    strategy: {matrix: {n: "${{ fromJSON('[]') }}"}}
    steps: [run: echo]
"""
    )

    assert found["job"].result == "failure"


def test_a_composite_action_has_inputs_outputs_and_its_own_steps(toy):
    action = """
    name: greet
    description: says a word
    inputs:
      word: {description: to say, default: hello}
    outputs:
      said: {description: what was said, value: '${{ steps.say.outputs.said }}'}
    runs:
      using: composite
      steps:
        - id: say
          shell: bash
          run: echo "said=$WORD!" >> "$GITHUB_OUTPUT"
          env: {WORD: '${{ inputs.word }}'}
    """
    text = (
        "on: push\npermissions: {contents: read}\njobs:\n"
        """
  job:
    runs-on: x
    steps:
      - uses: actions/checkout@abc
      - {id: one, uses: ./.github/actions/greet}
      - {id: two, uses: $/.github/actions/greet, with: {word: bye}}
      - run: echo "$ONE $TWO"
        env:
          ONE: ${{ steps.one.outputs.said }}
          TWO: ${{ steps.two.outputs.said }}
"""
    )
    found = toy(text, files={".github/actions/greet/action.yml": action})

    assert found["job"].log.endswith("hello! bye!\n")


def test_an_action_of_the_repository_needs_a_checkout(toy):
    found = toy(HEAD + "  job: {runs-on: x, steps: [uses: ./.github/actions/greet]}\n")

    assert "is it checked out?" in found["job"].log


def test_a_checkout_is_as_deep_as_asked_for(toy):
    text = "on: push\npermissions: {contents: read}\njobs:\n"
    for name, depth in (("shallow", 1), ("deep", 0)):
        text += f"""
  {name}:
    runs-on: x
    steps:
      - {{uses: actions/checkout@abc, with: {{fetch-depth: {depth}}}}}
      - run: git log --format=%s
"""
    found = toy(text)

    assert [found[name].log for name in ("shallow", "deep")] == ["two\n", "two\none\n"]


def test_an_action_that_nobody_registered_is_an_error(toy):
    found = toy(HEAD + "  job: {runs-on: x, steps: [uses: evil/action@abc]}\n")

    assert "evil/action is not known" in found["job"].log
    assert found["job"].result == "failure"


def test_artifacts_go_from_job_to_job_and_keep_their_names(toy):
    found = toy(
        HEAD
        + """
  make:
    runs-on: x
    steps:
      - run: mkdir dist; echo one > dist/a.mar; echo two > dist/b.mar
      - {uses: actions/upload-artifact@abc, with: {name: dist, path: dist/*.mar}}
      - uses: actions/upload-artifact@abc
        with: {name: dist, path: dist/*.mar}
        continue-on-error: true
  use:
    needs: make
    runs-on: x
    steps:
      - {uses: actions/download-artifact@abc, with: {name: dist, path: got}}
      - run: cat got/a.mar got/b.mar
"""
    )

    assert "dist is there already" in found["make"].log
    assert found["use"].log == "one\ntwo\n"


SECRET = """
  job:
    runs-on: x
    outputs:
      key: ${{ steps.one.outputs.key }}
      other: ${{ steps.one.outputs.other }}
    steps:
      - id: one
        run: |
          echo "key=$KEY" >> "$GITHUB_OUTPUT"; echo "other=x" >> "$GITHUB_OUTPUT"
          echo "has $KEY"
        env: {KEY: '${{ secrets.KEY }}'}
"""


def test_an_output_with_a_secret_in_it_is_dropped(toy):
    found = toy(HEAD + SECRET, secrets={"KEY": "s3cret"})

    assert found["job"].outputs == {"other": "x"}


def test_a_fork_gets_no_secret_and_nothing_that_writes(toy):
    wanted = "\npermissions: {contents: write, id-token: write}\njobs:"
    found = toy(
        (HEAD + SECRET).replace("\npermissions: {}\njobs:", wanted),
        secrets={"KEY": "s3cret"},
        is_from_fork=True,
    )

    assert "has \n" in found["job"].log
    assert found["job"].permissions == {"contents": "read"}


def test_secrets_of_an_environment_are_for_jobs_that_name_it(toy):
    found = toy(
        HEAD
        + """
  inside:
    environment: prod
    runs-on: x
    steps: [{run: 'echo "<$K>"', env: {K: '${{ secrets.KEY }}'}}]
  outside:
    runs-on: x
    steps: [{run: 'echo "<$K>"', env: {K: '${{ secrets.KEY }}'}}]
  absent: {environment: other, runs-on: x, steps: [run: echo]}
  refused: {environment: guarded, runs-on: x, steps: [run: echo]}
  elsewhere: {environment: tags, runs-on: x, steps: [run: echo]}
""",
        environments={
            "prod": Environment(secrets={"KEY": "s3cret"}),
            "guarded": Environment(is_approved=False),
            "tags": Environment(branches=("refs/heads/release",)),
        },
    )

    assert [found[job].log for job in ("inside", "outside")] == ["<s3cret>\n", "<>\n"]
    assert results(found)["absent"] == "failure"
    assert results(found)["refused"] == "failure"
    assert results(found)["elsewhere"] == "failure"


def test_a_called_workflow_cannot_have_more_than_its_caller(toy):
    called = """
    on: {workflow_call: {inputs: {word: {type: string, required: true}}}}
    permissions: {}
    jobs:
      modest: {runs-on: x, steps: [{run: 'echo "$W"', env: {W: '${{ inputs.word }}'}}]}
      greedy: {runs-on: x, permissions: {contents: write}, steps: [run: echo]}
    """
    found = toy(
        HEAD + "  call: {uses: ./.github/workflows/inner.yml, with: {word: hi}}\n",
        files={".github/workflows/inner.yml": called},
    )

    assert found["call/modest"].log == "hi\n"
    assert "contents: write" in found["call/greedy"].log
    assert results(found)["call"] == "failure"


@pytest.mark.parametrize(
    "text",
    [
        "on: push\njobs: {job: {runs-on: x, step: []}}",
        "on: push\njobs: {job: {runs-on: x, needs: nobody, steps: [run: echo]}}",
        (
            "on: push\njobs: {a: {runs-on: x, needs: b, steps: [run: echo]}, "
            "b: {runs-on: x, needs: a, steps: [run: echo]}}"
        ),
        "on: push\njobs: {job: {runs-on: x, steps: [{name: nothing}]}}",
        "on: pull_request\njobs: {job: {runs-on: x, steps: [run: echo]}}",
        (
            "on: push\nconcurrency: {group: '${{ github.head_ref }}'}\n"
            "jobs: {job: {runs-on: x, steps: [run: echo]}}"
        ),
    ],
)
def test_a_workflow_that_github_would_not_run_is_refused(toy, text):
    with pytest.raises(DocumentError):
        toy(text)


def test_the_eleventh_annotation_of_a_step_is_not_shown():
    log = "\n".join(
        f"::error file=a.yaml,line={n}::wrong%0Afix%3A it" for n in range(11)
    )

    shown = annotations(f"{log}\n::notice::look")
    assert len(shown) == 11
    assert shown[0].properties == {"file": "a.yaml", "line": "0"}
    assert shown[0].message == "wrong\nfix: it"


def test_a_summary_above_the_limit_is_dropped_whole(toy):
    found = toy(
        HEAD
        + f"""
  job:
    runs-on: x
    steps:
      - run: |
          head -c {SUMMARY_MAX_BYTES + 1} /dev/zero >> "$GITHUB_STEP_SUMMARY"
      - run: echo kept >> "$GITHUB_STEP_SUMMARY"
"""
    )

    assert found["job"].summary == "kept\n"
