"""OpenAPI documents as they are found in the wild, in excerpts."""

from __future__ import annotations

from typing import Any

from contracts.host import OpenApi
from services.outside.openapi import document

OK: dict[str, Any] = {"responses": {"200": {"description": "ok"}}}


def api(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document with these paths."""
    return {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths, **more}


def one(
    *parameters: dict[str, Any], path: str = "/x", method: str = "get", **more: Any
) -> dict[str, Any]:
    """A document with one operation, `op`."""
    operation = {"operationId": "op", "parameters": list(parameters), **OK, **more}
    return api({path: {method: operation}})


def endpoint(url: str, content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Fields of a host that has read this document."""
    known = OpenApi(url, document=content, **fields)
    return {"endpoint": known, "tools": document.api(content).tools}


PETSTORE = """
openapi: 3.0.4
info: {title: Pet store, version: 1.0.27}
servers:
  - url: /api/v3
paths:
  /pet/{petId}:
    get:
      tags: [pet]
      summary: Find pet by ID.
      operationId: getPetById
      parameters:
        - {name: petId, in: path, required: true, schema: {type: integer, format: int64}}
      responses:
        '200':
          description: successful
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Pet'}
        404: {description: not found}
      security:
        - api_key: []
        - petstore_auth: ['read:pets']
  /pet/findByTags:
    get:
      operationId: findPetsByTags
      parameters:
        - name: tags
          in: query
          explode: true
          schema: {type: array, items: {type: string}}
      responses:
        '200':
          description: successful
          content:
            application/json:
              schema: {type: array, items: {$ref: '#/components/schemas/Pet'}}
  /pet:
    post:
      operationId: addPet
      requestBody:
        required: true
        content:
          application/xml: {schema: {$ref: '#/components/schemas/Pet'}}
          application/json: {schema: {$ref: '#/components/schemas/Pet'}}
      responses: {'200': {description: added}}
  /pet/{petId}/uploadImage:
    post:
      operationId: uploadFile
      parameters:
        - {name: petId, in: path, required: true, schema: {type: integer}}
        - {name: additionalMetadata, in: query, schema: {type: string}}
      requestBody:
        content:
          application/octet-stream: {schema: {type: string, format: binary}}
      responses: {'200': {description: uploaded}}
components:
  schemas:
    Category: {type: object, properties: {id: {type: integer}, name: {type: string}}}
    Pet:
      type: object
      required: [name, photoUrls]
      properties:
        id: {type: integer, format: int64, example: 10, readOnly: true}
        name: {type: string, example: doggie, nullable: true}
        category: {$ref: '#/components/schemas/Category'}
        photoUrls: {type: array, items: {type: string}}
        status: {type: string, enum: [available, pending, sold], nullable: true}
    Unused: {type: object}
  securitySchemes:
    petstore_auth:
      type: oauth2
      flows: {implicit: {authorizationUrl: 'https://p.example/a', scopes: {'read:pets': r}}}
    api_key: {type: apiKey, name: api_key, in: header}
"""
FORGE: dict[str, Any] = {
    # After a forge for code: shared parameters, wildcards, names with a slash, bearer tokens.
    "openapi": "3.0.3",
    "info": {"title": "Forge v3 REST API", "version": "1.1.4"},
    "servers": [{"url": "https://api.forge.example"}],
    "security": [{"bearer": []}, {}],
    "paths": {
        "/repos/{owner}/{repo}/issues": {
            "parameters": [
                {"$ref": "#/components/parameters/owner"},
                {"$ref": "#/components/parameters/repo"},
            ],
            "get": {
                "operationId": "issues/list-for-repo",
                "parameters": [
                    {"name": "labels", "in": "query", "schema": {"type": "string"}},
                    {"name": "page", "in": "query", "schema": {"type": "integer", "default": 1}},
                    {"name": "accept", "in": "header", "schema": {"type": "string"}},
                ],
                **OK,
            },
            "post": {
                "operationId": "issues/create",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["title"],
                                "properties": {
                                    "title": {"oneOf": [{"type": "string"}, {"type": "integer"}]}
                                },
                            }
                        }
                    },
                },
                "responses": {"201": {"$ref": "#/components/responses/issue"}},
            },
        },
        "/uploads": {"servers": [{"url": "https://uploads.example"}], "post": OK},
    },
    "components": {
        "parameters": {
            name: {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in ("owner", "repo")
        },
        "responses": {
            "issue": {
                "content": {
                    "application/json": {
                        "schema": {"type": "object", "properties": {"number": {"type": "integer"}}}
                    }
                }
            }
        },
        "securitySchemes": {"bearer": {"type": "http", "scheme": "Bearer"}},
    },
}
PAYMENTS: dict[str, Any] = {
    # After a payment service: forms, deep objects, a basic login, lists in brackets.
    "openapi": "3.0.0",
    "info": {"title": "Payments", "version": "2025-01-27"},
    "servers": [{"url": "https://api.payments.example/"}],
    "security": [{"login": []}, {"bearer": []}],
    "paths": {
        "/v1/charges": {
            "get": {
                "operationId": "GetCharges",
                "parameters": [
                    {
                        "name": "created",
                        "in": "query",
                        "style": "deepObject",
                        "explode": True,
                        "schema": {"type": "object", "properties": {"gte": {"type": "integer"}}},
                    },
                    {"name": "expand[]", "in": "query", "schema": {"type": "array"}},
                ],
                **OK,
            },
            "post": {
                "operationId": "PostCharges",
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "amount": {
                                        "type": "integer",
                                        "minimum": 0,
                                        "exclusiveMinimum": True,
                                    },
                                    "currency": {"type": "string"},
                                },
                            }
                        }
                    }
                },
                **OK,
            },
        }
    },
    "components": {
        "securitySchemes": {
            "login": {"type": "http", "scheme": "basic"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
    },
}
