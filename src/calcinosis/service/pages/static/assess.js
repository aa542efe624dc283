// Assess: the answer follows the form. Without this file the button does the same.
"use strict";
(() => {
  const form = document.getElementById("entry");
  const answered = document.getElementById("answered");
  const live = document.getElementById("live");
  const bar = document.getElementById("bar");
  if (!form || !answered || !window.fetch) return;
  let timer = 0, asking = null;
  const where = `${form.getAttribute("action")}/answer`;

  // what the reader opened or closed stays so in the next answer; the rest is open as the service wrote it (`data-written`)
  const parts = () => [...answered.querySelectorAll("details[id]")];
  const written = (each) => { each.dataset.written = each.open ? "open" : ""; };
  const turned = () => new Map(parts().filter((each) => each.open !== Boolean(each.dataset.written)).map((each) => [each.id, each.open]));

  // how much of the window is covered at the bottom, so that the focus is scrolled above it
  function cover() {
    const height = [bar, form.querySelector(".send")].map((each) => {
      const place = getComputedStyle(each).position;
      return place === "fixed" || place === "sticky" ? each.offsetHeight : 0;
    });
    document.documentElement.style.setProperty("--bar", `${Math.max(...height)}px`);
  }

  function say() {
    const spoken = answered.querySelector("#spoken");
    live.textContent = spoken ? `Answer: ${spoken.textContent}` : "No answer yet.";
    bar.hidden = !spoken;
    bar.textContent = spoken ? spoken.textContent : "";
    bar.classList.toggle("alarming", Boolean(answered.querySelector(".alarms")));
  }

  function mark() {
    for (const each of form.querySelectorAll(".error")) { each.textContent = ""; each.hidden = true; }
    for (const each of form.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
    for (const each of answered.querySelectorAll("[data-field]")) {
      const place = form.querySelector(`.error[data-for="${CSS.escape(each.dataset.field)}"]`);
      if (!place) continue;
      place.textContent = each.querySelector("span").textContent;
      place.hidden = false;
      for (const control of form.querySelectorAll(`[aria-describedby="${place.id}"]`)) control.setAttribute("aria-invalid", "true");
    }
  }

  // a record that was read stays in this page: it goes back with every change, and the file need not be chosen again
  function hold() {
    const back = answered.querySelector("#held-back");
    if (!back) return;
    form.elements.namedItem("held").value = back.value;
    back.remove();
    form.elements.namedItem("record").value = "";
    document.getElementById("holds").hidden = false;
  }

  // another file is another patient until somebody says otherwise: what was entered before goes, and can be put back
  const cleared = document.getElementById("cleared");
  let before = [];
  const questions = () => [...form.elements].filter((each) => each.name && !["hidden", "file", "submit", "button"].includes(each.type));
  const ticked = (each) => each.type === "radio" || each.type === "checkbox";
  const entered = (each) => (ticked(each) ? each.checked : each.name !== "taking") && each.value !== "";

  function anew() {
    form.elements.namedItem("held").value = "";
    if (!questions().some(entered)) return;
    before = questions().map((each) => [each, each.checked, each.value]);
    for (const each of questions()) {
      if (ticked(each)) each.checked = each.type === "radio" && each.value === "";
      else if (each.tagName === "SELECT") each.selectedIndex = 0;
      else each.value = "";
    }
    cleared.hidden = false;
  }

  function putBack() {
    for (const [each, checked, value] of before) {
      if (ticked(each)) each.checked = checked;
      else each.value = value;
    }
    cleared.hidden = true;
    document.getElementById("record").focus();
    soon(0);
  }

  // what stands below is of what was entered before: said where it is seen, and shown
  function outdated(why) {
    live.textContent = why;
    let note = document.getElementById("outdated");
    if (!note) {
      note = document.createElement("p");
      note.id = "outdated";
      note.className = "error";
      answered.before(note);
    }
    note.textContent = `${why} Below stands the answer to what was entered before; load this page again to go on.`;
    answered.classList.add("outdated");
  }

  function current() {
    document.getElementById("outdated")?.remove();
    answered.classList.remove("outdated");
  }

  async function ask() {
    if (asking) asking.abort();
    asking = new AbortController();
    const mine = asking;
    answered.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(where, { method: "POST", body: new FormData(form), headers: { Accept: "text/html" }, signal: mine.signal });
      const text = await response.text();
      if (mine.signal.aborted) return;
      if (!response.headers.get("calcinosis-answer") || (response.status >= 400 && !text.includes("data-field"))) {
        outdated(response.ok || response.status === 401 ? "You may be signed out: the answer could not be updated." : "The answer could not be updated.");
        return;
      }
      current();
      const before = turned();
      answered.innerHTML = text;  // from this service, escaped there; the policy of the page runs no script in it
      hold();
      for (const each of parts()) {
        written(each);
        if (before.has(each.id)) each.open = before.get(each.id);
      }
      mark();
      say();
    } catch (error) {
      if (error.name !== "AbortError") outdated("The service does not answer.");
    } finally {
      if (mine === asking) answered.removeAttribute("aria-busy");
    }
  }

  form.elements.namedItem("record")?.addEventListener("change", (event) => { if (event.target.files.length) anew(); });
  cleared?.querySelector("button").addEventListener("click", putBack);
  const soon = (wait) => { clearTimeout(timer); timer = setTimeout(ask, wait); };
  form.addEventListener("input", (event) => soon(event.target.type === "text" ? 600 : 250));
  form.addEventListener("change", () => soon(250));
  form.addEventListener("submit", (event) => {
    if (event.submitter?.hasAttribute("formaction")) return;
    event.preventDefault();
    clearTimeout(timer);
    if (event.submitter?.name === "full") return void inFull();
    ask().then(() => { answered.focus({ preventScroll: true }); answered.scrollIntoView(); });
  });

  // what the knowledge says of a treatment, put where its link stands as soon as the option is opened; the link stays
  const known = new Map();
  async function tell(option) {
    const link = option.querySelector(".general a");
    if (!link || option.querySelector(".general-text")) return;
    const text = document.createElement("div");
    text.className = "general-text";
    link.parentElement.after(text);
    try {
      const address = link.getAttribute("href");
      if (!known.has(address)) known.set(address, fetch(address, { headers: { Accept: "text/html" } }).then((got) => got.ok ? got.text() : ""));
      const article = new DOMParser().parseFromString(await known.get(address), "text/html").querySelector("article.entry");
      if (!article) return text.remove();
      for (const each of article.querySelectorAll('a[href^="#"]')) each.setAttribute("href", address + each.getAttribute("href"));
      for (const each of article.querySelectorAll("h2")) {
        const heading = document.createElement("h6");
        heading.append(...each.childNodes);
        each.replaceWith(heading);
      }
      for (const each of article.querySelectorAll("[id], [aria-labelledby]")) { each.removeAttribute("id"); each.removeAttribute("aria-labelledby"); }
      text.append(...article.childNodes);
    } catch { text.remove(); }
  }
  answered.addEventListener("toggle", (event) => { if (event.target.open && event.target.matches("details.option")) tell(event.target); }, true);

  // the options that are not shown in detail yet; ``wanted``: the one to open
  async function inFull(wanted) {
    form.querySelector("input[name=full]").value = "1";
    await ask();
    const option = document.getElementById(wanted || "p1-options");
    if (!option) return;
    if (wanted) option.open = true;
    option.querySelector("summary")?.focus({ preventScroll: true });
    option.scrollIntoView();
  }

  // a link to a question opens the group it stands in and puts the cursor there; a link to a reason opens it
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link?.dataset.open) {
      event.preventDefault();
      return void inFull(link.dataset.open);
    }
    const target = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!target) return;
    for (let each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    if (!form.contains(target)) return;
    event.preventDefault();
    const control = target.querySelector("input:not([type=hidden]):checked, input:not([type=hidden]):not([type=radio]), select") || target;
    control.focus({ preventScroll: true });
    target.scrollIntoView({ block: "center" });
  });

  if (window.ResizeObserver) {
    const watcher = new ResizeObserver(cover);
    for (const each of [bar, form.querySelector(".send"), document.documentElement]) watcher.observe(each);
  }
  cover();
  parts().forEach(written);
  if (answered.querySelector("#spoken")) say();
})();
