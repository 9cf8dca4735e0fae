// Comfort on the pages of administration: a button that copies, and answers while a question is typed. All works without it.
"use strict";

for (const button of document.querySelectorAll("[data-copies]")) {
  const field = document.getElementById(button.dataset.copies);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  });
  field.addEventListener("focus", () => field.select());
}

for (const form of document.querySelectorAll("[data-live]")) {
  let asked = 0;
  let timer;
  const ask = async () => {
    const turn = ++asked;
    const address = `${form.action}?${new URLSearchParams(new FormData(form))}`;
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const result = page.getElementById(form.dataset.live);
    if (turn === asked && answer.ok && result) {
      document.getElementById(form.dataset.live).replaceChildren(...result.childNodes);
      history.replaceState(null, "", address);
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 250);
  });
}
