"""The prompts, resources and completions of the suite."""

from __future__ import annotations

import json
import re
from typing import Any

import mcp_types as t
from mcp import MCPError

from tests.conformance.host import asks
from tests.conformance.host.asks import Context

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4"
    "2mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
TEMPLATE = re.compile(r"test://template/([^/]+)/data")
PLAIN, BINARY = "test://static-text", "test://static-binary"
WATCHED = "test://watched-resource"
RESOURCES = [
    t.Resource(uri=uri, name=name, description=name, mime_type=kind)
    for uri, name, kind in (
        (PLAIN, "a text", "text/plain"),
        (BINARY, "a picture", "image/png"),
        (WATCHED, "one that is watched", "text/plain"),
    )
]
TEMPLATES = [
    t.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="data",
        description="data by their id",
        mime_type="application/json",
    )
]


def described(name: str, *arguments: str) -> t.Prompt:
    """A prompt of which every argument is needed."""
    wanted = [t.PromptArgument(name=one, description=one, required=True) for one in arguments]
    return t.Prompt(name=name, description=name, arguments=wanted)


PROMPTS = [
    described("test_simple_prompt"),
    described("test_prompt_with_arguments", "arg1", "arg2"),
    described("test_prompt_with_embedded_resource", "resourceUri"),
    described("test_prompt_with_image"),
    described("test_input_required_result_prompt"),
]


def text(uri: str, content: str, kind: str = "text/plain") -> t.TextResourceContents:
    """What a resource says."""
    return t.TextResourceContents(uri=uri, mime_type=kind, text=content)


async def list_prompts(context: Context, params: Any) -> t.ListPromptsResult:
    return t.ListPromptsResult(prompts=PROMPTS)


async def list_resources(context: Context, params: Any) -> t.ListResourcesResult:
    return t.ListResourcesResult(resources=RESOURCES)


async def list_templates(context: Context, params: Any) -> t.ListResourceTemplatesResult:
    return t.ListResourceTemplatesResult(resource_templates=TEMPLATES)


async def read(context: Context, params: t.ReadResourceRequestParams) -> t.ReadResourceResult:
    uri = str(params.uri)
    if uri == BINARY:
        blob = t.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
        return t.ReadResourceResult(contents=[blob])
    if uri == PLAIN:
        content = text(uri, "This is the content of the static text resource.")
    elif uri == WATCHED:
        content = text(uri, "Watched resource content")
    elif found := TEMPLATE.fullmatch(uri):
        data = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
        content = text(uri, json.dumps(data), "application/json")
    else:
        raise MCPError(t.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return t.ReadResourceResult(contents=[content])


async def taken(context: Context, params: Any) -> t.EmptyResult:
    """Take a subscription, its end, or a level of the log."""
    return t.EmptyResult()


async def get_prompt(
    context: Context, params: t.GetPromptRequestParams
) -> t.GetPromptResult | t.InputRequiredResult:
    given = params.arguments or {}
    contents: list[t.ContentBlock]
    match params.name:
        case "test_input_required_result_prompt":
            return await asks.prompt(context, params)
        case "test_simple_prompt":
            contents = [said("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            named = (f"{name}='{given.get(name)}'" for name in ("arg1", "arg2"))
            contents = [said(f"Prompt with arguments: {', '.join(named)}")]
        case "test_prompt_with_embedded_resource":
            inside = text(given.get("resourceUri", PLAIN), "Embedded resource content for testing.")
            resource = t.EmbeddedResource(type="resource", resource=inside)
            contents = [resource, said("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            image = t.ImageContent(type="image", data=PNG, mime_type="image/png")
            contents = [image, said("Please analyze the image above.")]
        case _:
            raise MCPError(t.INVALID_PARAMS, f"there is no prompt {params.name}")
    messages = [t.PromptMessage(role="user", content=content) for content in contents]
    return t.GetPromptResult(messages=messages)


def said(content: str) -> t.TextContent:
    return t.TextContent(type="text", text=content)


async def complete(context: Context, params: t.CompleteRequestParams) -> t.CompleteResult:
    every = ("paris", "park", "party", "hello")
    fit = [word for word in every if word.startswith(params.argument.value)]
    return t.CompleteResult(completion=t.Completion(values=fit, total=len(fit), has_more=False))
