// The interactive page: Swagger UI, one field for a credential, and the time that each request carries.
"use strict";

const TIMELESS = new Set(["/api/v3/version", "/api/v3/openapi.json"]);
const RIGHTS = { c: "create", r: "read", u: "update", d: "delete" };
const STAND_INS = { Authorization: "Bearer $TOKEN" };
const timed = new Set(); // the addresses of requests whose time this page has added

const field = document.getElementById("credential");
const forget = document.getElementById("forget");
const said = document.getElementById("said");
const promise = said.textContent;

function followTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

// Runs before each request. The time goes into `now`, since browsers let no page set `Date`. A token goes from the address,
// where logs show it, into the header; and what the page shows of the request, which people copy and photograph, has a
// stand-in for it: only `send` knows the real one.
function prepare(request) {
  const url = new URL(request.url, window.location.href);
  if (url.origin !== window.location.origin) {
    throw new Error("Requests go to this server only");
  }
  const { Date: date, ...real } = request.headers ?? {};
  if (url.searchParams.has("token")) {
    real.Authorization ??= `Bearer ${url.searchParams.get("token")}`;
    url.searchParams.delete("token");
  }
  if (url.pathname.startsWith("/api/v3/") && !TIMELESS.has(url.pathname) && !url.searchParams.has("now")) {
    url.searchParams.set("now", date ?? String(Date.now()));
    if (date === undefined) {
      timed.add(url.href);
    }
  }
  const shown = Object.fromEntries(Object.entries(real).map(([name, value]) => [name, STAND_INS[name] ?? value]));
  const send = (address, options) => fetch(address, { ...options, headers: real, credentials: "omit", cache: "no-store" });
  return Object.assign(request, { url: url.href, headers: shown, userFetch: send });
}

// The command that does the same as a request, at any later time: the shell puts in the secret and the time.
function command(request) {
  const address = new URL(request.get("url"));
  let time = "";
  if (timed.has(address.href)) {
    address.searchParams.delete("now");
    address.search += `${address.search ? "&" : "?"}now=`;
    time = '"$(date +%s)000"';
  }
  const method = request.get("method");
  const parts = [method === "HEAD" ? "curl --head" : `curl -X ${method}`, quoted(address.href) + time];
  for (const [name, value] of request.get("headers")?.entries() ?? []) {
    parts.push(`-H ${STAND_INS[name] === value ? `"${name}: ${value}"` : quoted(`${name}: ${value}`)}`);
  }
  if (request.get("body")) {
    parts.push(`-d ${quoted(request.get("body"))}`);
  }
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// In the place of Swagger UI's own command, which quotes everything, so that the shell would put nothing in.
function Commands({ React: { createElement: element } }) {
  const title = "Copy the command";
  const curl = ({ request, getComponent }) => {
    const text = command(request);
    const copy = { type: "button", title, "aria-label": title, onClick: () => navigator.clipboard?.writeText(text) };
    const plain = ({ children, PlainTextViewer }) => element(PlainTextViewer, { className: "curl" }, children);
    const look = { language: "bash", className: "curl microlight", renderPlainText: plain };
    return element(
      "div",
      { className: "curl-command" },
      element("h4", null, "Curl"),
      element("div", { className: "copy-to-clipboard" }, element("button", copy)),
      element("div", null, element(getComponent("SyntaxHighlighter", true), look, text)),
    );
  };
  return { components: { curl } };
}

function say(text, kind = "") {
  said.textContent = text;
  said.className = kind;
}

// Collections with the same rights are named together.
function rights(permissions) {
  const groups = new Map();
  for (const [name, letters] of Object.entries(permissions)) {
    if (letters) {
      groups.set(letters, [...(groups.get(letters) ?? []), name]);
    }
  }
  const told = [...groups].map(([letters, names]) => `${verbs(letters)} in ${names.join(", ")}`);
  return told.length ? `Good. It may ${told.join("; ")}.` : "Good, but it may do nothing with the collections.";
}

function verbs(letters) {
  const words = [...letters].map((letter) => RIGHTS[letter]);
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words[0];
}

async function check(credential) {
  const request = prepare({ url: "/api/v3/status", headers: { Authorization: `Bearer ${credential}` } });
  const answer = await request.userFetch(request.url, {});
  const body = await answer.json();
  if (!answer.ok) {
    throw new Error(body.message || `The server says ${answer.status}`);
  }
  return rights(body.result.apiPermissions);
}

async function use(event, ui) {
  event.preventDefault();
  const credential = field.value.trim();
  say("Asking the server…");
  try {
    await accept(credential, ui);
  } catch (error) {
    say(`Not accepted: ${error.message}`, "bad");
  }
}

function leave(ui) {
  ui.authActions.logout(["bearer"]);
  field.value = "";
  forget.hidden = true;
  say(promise);
  field.focus();
}

// Sign in by authorization code with PKCE (RFC 7636), in a window of its own, as the public client of this page.
const CLIENT = "api3-docs";
const REDIRECT = `${window.location.origin}/api3-docs/oauth2-redirect`;
const SCOPES = "read write execute";

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function signIn(ui) {
  const verifier = random();
  const state = random();
  const popup = window.open("", "sign-in", "popup,width=560,height=760");
  if (popup === null) {
    say("Your browser did not let this page open a window. Allow it, and try again.", "bad");
    return;
  }
  say("Go on in the window that has opened.");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const asked = { response_type: "code", client_id: CLIENT, redirect_uri: REDIRECT, scope: SCOPES, state };
  const proof = { code_challenge: base64url(digest), code_challenge_method: "S256" };
  popup.location.href = `/oauth/authorize?${new URLSearchParams({ ...asked, ...proof })}`;
  try {
    const token = await redeem(await answered(popup, state), verifier);
    said.focus();
    await accept(token, ui);
  } catch (error) {
    say(`Not signed in: ${error.message}`, "bad");
  }
}

// Wait for the answer of the authorization endpoint, which our own page hands over; that is why its origin is checked.
function answered(popup, state) {
  return new Promise((resolve, reject) => {
    const watch = setInterval(() => popup.closed && end(reject, new Error("the window was closed")), 1000);
    const hear = (event) => {
      if (event.source !== popup || event.origin !== window.location.origin) {
        return;
      }
      const told = new URLSearchParams(event.data.answer);
      if (told.get("state") !== state) {
        end(reject, new Error("the answer belongs to another attempt"));
      } else if (told.has("code")) {
        end(resolve, told.get("code"));
      } else {
        end(reject, new Error(told.get("error_description") ?? told.get("error")));
      }
    };
    const end = (settle, value) => {
      clearInterval(watch);
      window.removeEventListener("message", hear);
      settle(value);
    };
    window.addEventListener("message", hear);
  });
}

async function redeem(code, verifier) {
  const form = { grant_type: "authorization_code", client_id: CLIENT, code, redirect_uri: REDIRECT, code_verifier: verifier };
  const answer = await fetch("/oauth/token", { method: "POST", body: new URLSearchParams(form), credentials: "omit" });
  const body = await answer.json();
  if (!answer.ok) {
    throw new Error(body.error_description ?? body.error);
  }
  return body.access_token;
}

async function accept(credential, ui) {
  say(await check(credential), "good");
  ui.preauthorizeApiKey("bearer", credential);
  field.value = "";
  forget.hidden = false;
}

function start() {
  followTheme();
  const ui = SwaggerUIBundle({
    url: "/api/v3/openapi.json",
    dom_id: "#explorer",
    deepLinking: false, // its links would stand inside of buttons, and take the place of ours to #routes
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    docExpansion: "list",
    filter: false,
    onComplete: () => document.getElementById("operations")?.setAttribute("role", "group"), // it is a second <main>
    persistAuthorization: false,
    plugins: [Commands],
    queryConfigEnabled: false,
    requestInterceptor: prepare,
    requestSnippetsEnabled: false,
    validatorUrl: null,
  });
  document.getElementById("who").addEventListener("submit", (event) => use(event, ui));
  forget.addEventListener("click", () => leave(ui));
  document.getElementById("sign-in").addEventListener("click", () => signIn(ui));
  document.getElementById("sign-in").hidden = crypto.subtle === undefined; // over plain HTTP from another machine
}

start();
