// What every module here builds on: elements by tagged templates, state by signals.
import { Fragment, h, render } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import { batch, computed, effect, signal, useComputed, useSignal } from "./vendor/signals.js";
import htm from "./vendor/htm.js";
import { attributes, child } from "./text.js";

/** Whatever is said by others passes here, on its way to the page. */
export const html = htm.bind((type, props, ...children) =>
  typeof type === "string" ? h(type, attributes(props), ...children.map(child)) : h(type, props, ...children),
);
export { batch, computed, effect, Fragment, render, signal };
export { useComputed, useEffect, useLayoutEffect, useMemo, useRef, useSignal, useState };
