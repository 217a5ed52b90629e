"""Submits a task, waits for it and reads it: the client that openapi-python-client writes."""

from __future__ import annotations

import json
import sys

from generated.api.mcps import list_hosts
from generated.api.tasks import create_task, get_content_of_tasks, get_task
from generated.client import AuthenticatedClient
from generated.models.envelope_list_host_view import EnvelopeListHostView
from generated.models.envelope_task_view import EnvelopeTaskView
from generated.models.status import Status
from generated.models.task_body import TaskBody
from generated.models.task_body_input import TaskBodyInput

OVER = {
    Status.SUCCEEDED,
    Status.FAILED,
    Status.CANCELLED,
    Status.TIMED_OUT,
    Status.REJECTED,
}
url, token, task = sys.argv[1:]
with AuthenticatedClient(url, token=token) as client:
    hosts = list_hosts.sync(client=client)
    assert isinstance(hosts, EnvelopeListHostView)
    tools = sum(len(host.tools) for host in hosts.data)
    given = TaskBodyInput.from_dict({"ms": 1, "nested": {"list": [1, "two", None]}})
    body = TaskBody("work", id=task, input_=given)
    sent = create_task.sync(client=client, body=body)
    while isinstance(sent, EnvelopeTaskView) and sent.data.status not in OVER:
        # The same task again is the same task: it waits.
        sent = create_task.sync(client=client, body=body, wait=20)
    answer = get_task.sync(task, client=client)
    assert isinstance(answer, EnvelopeTaskView), (sent, answer)
    read = get_content_of_tasks.sync_detailed(task, client=client)
told = {"status": answer.data.status, "tools": tools, "attempt": answer.data.attempt}
print(json.dumps(told | {"result": json.loads(read.content)}))
