"""Runs the rules: all of them, or those of the files named (`python -m gates requirements`)."""

import inspect
import sys
from pathlib import Path

from gates import boundaries, layer, machines, requirements, roles, template, variables, wiring
from gates.finding import Rule

RULES: tuple[Rule, ...] = (
    boundaries.only_the_aws_package_imports_boto3,
    boundaries.only_settings_read_the_environment,
    boundaries.nothing_deployed_knows_the_emulator,
    boundaries.nothing_but_tests_imports_what_is_not_deployed,
    boundaries.the_protocol_is_standard_library_only,
    boundaries.the_agent_needs_only_websockets,
    boundaries.the_agents_function_starts_light,
    requirements.locked_requirements_are_current,
    requirements.locked_requirements_agree,
    requirements.locked_requirements_name_no_host,
    machines.state_machines_are_valid,
    machines.every_transition_leads_somewhere,
    machines.every_task_has_a_timeout,
    machines.retries_name_their_errors,
    wiring.socket_answers_are_returned,
    wiring.every_verb_of_an_operation_is_routed,
    wiring.functions_end_while_somebody_waits,
    wiring.definitions_get_what_they_substitute,
    roles.machines_may_invoke_what_their_definitions_name,
    roles.schedules_may_invoke_their_targets,
    roles.rules_may_invoke_their_targets,
    roles.only_the_sandboxs_roles_are_passed_on,
    roles.sandboxes_are_started_and_stopped_in_their_cluster,
    template.the_template_is_short,
    template.handlers_are_thin,
    template.wildcards_have_a_reason,
    template.logs_expire,
    template.data_outlives_the_stack,
    variables.variables_are_set_and_read,
    template.the_layer_is_built_for_the_templates_python,
    template.the_layer_keeps_the_services_it_calls,
    layer.built_layers_fit_the_template,
)
ROOT = Path(__file__).resolve().parent.parent


def main(names: list[str]) -> int:
    chosen = [rule for rule in RULES if not names or module_name(rule) in names]
    if not chosen:
        known = ", ".join(sorted({module_name(rule) for rule in RULES}))
        print(f"No rules in {', '.join(names)}; there are {known}.")
        return 2
    broken = False
    for rule in chosen:
        for finding in rule(ROOT):
            broken = True
            print(f"{finding}  [{rule.__name__}]")
    return int(broken)


def module_name(rule: Rule) -> str:
    module = inspect.getmodule(rule)
    return module.__name__.rpartition(".")[2] if module else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
