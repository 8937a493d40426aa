// Passkeys, and copying and printing recovery codes. Every page works without it, but for passkeys.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function call(path, csrf, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF": csrf },
    body: JSON.stringify(body ?? {}),
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail ?? "");
  return content;
}

async function register(form) {
  const options = await call("/oauth2/passkeys/register/options", form.csrf.value);
  options.challenge = bytes(options.challenge);
  options.user.id = bytes(options.user.id);
  options.excludeCredentials = (options.excludeCredentials ?? []).map((each) => ({ ...each, id: bytes(each.id) }));
  const made = await navigator.credentials.create({ publicKey: options });
  const credential = {
    id: made.id,
    rawId: text(made.rawId),
    type: made.type,
    response: {
      attestationObject: text(made.response.attestationObject),
      clientDataJSON: text(made.response.clientDataJSON),
    },
  };
  return call("/oauth2/passkeys/register", form.csrf.value, { name: form.elements.name.value, credential });
}

async function signIn(form) {
  const options = await call("/oauth2/passkeys/sign-in/options", form.csrf.value);
  options.challenge = bytes(options.challenge);
  const used = await navigator.credentials.get({ publicKey: options });
  const credential = {
    id: used.id,
    rawId: text(used.rawId),
    type: used.type,
    response: {
      authenticatorData: text(used.response.authenticatorData),
      clientDataJSON: text(used.response.clientDataJSON),
      signature: text(used.response.signature),
      userHandle: used.response.userHandle ? text(used.response.userHandle) : null,
    },
  };
  return call("/oauth2/passkeys/sign-in", form.csrf.value, { credential, next: form.elements.next?.value ?? "" });
}

function start(form, work) {
  if (!window.PublicKeyCredential) return;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const status = form.querySelector("[role=status]");
    status.textContent = form.dataset.wait;
    try {
      location.assign((await work(form)).location);
    } catch (error) {
      status.textContent = error.name === "NotAllowedError" ? form.dataset.cancelled : error.message || form.dataset.failed;
    }
  });
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  start(form, form.dataset.passkey === "register" ? register : signIn);
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const codes = [...document.querySelectorAll(".codes code")].map((each) => each.textContent).join("\n");
    await navigator.clipboard.writeText(codes);
    document.querySelector("#copied").textContent = button.dataset.done;
  });
}
for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
