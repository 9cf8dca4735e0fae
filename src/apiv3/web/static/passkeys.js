// Passkeys: asks the browser for the answer of an authenticator, and sends it with the form that wants it.
//
// Such a form has data-passkey ("create" or "get"), data-options (where the options are), data-origin (where passkeys work) and
// data-obstacle (why they cannot work at all). It is hidden as long as this script does not run; what has data-scriptless is
// hidden when it does.
"use strict";

const REASONS = {
  AbortError: "The browser has ended this. Try again.",
  ConstraintError: "This device cannot check who you are: set up a PIN, a fingerprint or face recognition on it first.",
  InvalidStateError: "This device has a passkey for your account already.",
  NotAllowedError: "Nothing was done: it was cancelled, took too long, or there is no passkey for this server on this device.",
  NotSupportedError: "This device or browser has no passkeys of a kind that the server accepts.",
  SecurityError: "The browser refuses passkeys on this page.",
};

function bytes(text) {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
}

function base64url(buffer) {
  const text = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

// Why this form cannot work here; empty if it can.
function obstacle(form) {
  if (form.dataset.obstacle) {
    return form.dataset.obstacle;
  }
  if (window.location.origin !== form.dataset.origin) {
    return `Passkeys work at ${form.dataset.origin} only. Open this page there.`;
  }
  return window.PublicKeyCredential ? "" : "This browser has no passkeys.";
}

async function options(form) {
  let answer;
  try {
    answer = await fetch(form.dataset.options, { headers: { Accept: "application/json" }, cache: "no-store" });
  } catch {
    throw new Error("The server cannot be reached. Try again later.");
  }
  if (answer.redirected) {
    throw new Error("You are not signed in any more. Load this page again.");
  }
  const found = await answer.json();
  if (!answer.ok) {
    throw new Error(`${found.message}.`);
  }
  return found;
}

async function create(found) {
  const user = { ...found.user, id: bytes(found.user.id) };
  const excludeCredentials = found.excludeCredentials.map((each) => ({ ...each, id: bytes(each.id) }));
  const publicKey = { ...found, user, excludeCredentials, challenge: bytes(found.challenge) };
  return navigator.credentials.create({ publicKey });
}

async function get(found) {
  return navigator.credentials.get({ publicKey: { ...found, challenge: bytes(found.challenge) } });
}

// The answer in the JSON of WebAuthn Level 3, which not every browser can write by itself.
function json(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) {
      response[name] = base64url(credential.response[name]);
    }
  }
  return JSON.stringify({ id: credential.id, rawId: base64url(credential.rawId), type: credential.type, response });
}

async function send(form) {
  const found = await options(form);
  const credential = await (form.dataset.passkey === "create" ? create(found) : get(found));
  form.elements.answer.value = json(credential);
  form.submit();
}

function prepare(form) {
  const button = form.querySelector("button");
  const complaint = form.querySelector("[role=alert]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complaint.hidden = true;
    button.disabled = true;
    try {
      const reason = obstacle(form);
      if (reason) {
        throw new Error(reason);
      }
      await send(form);
    } catch (error) {
      complaint.textContent = REASONS[error.name] ?? error.message;
      complaint.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
  form.hidden = false;
}

document.querySelectorAll("[data-passkey]").forEach(prepare);
document.querySelectorAll("[data-scriptless]").forEach((each) => {
  each.hidden = true;
});
