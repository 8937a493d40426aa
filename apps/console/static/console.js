/* What htmx does not: the warning before the idle time is over, figures that change, focus after a swap. */
(() => {
  "use strict";
  const seconds = Number(document.documentElement.dataset.idleSeconds);
  const dialog = document.getElementById("idle");
  if (seconds && dialog) {
    const warning = Math.max(seconds - 120, seconds / 2) * 1000;
    let warn, leave, told = Date.now();
    const arm = () => {
      clearTimeout(warn); clearTimeout(leave);
      warn = setTimeout(() => dialog.showModal(), warning);
      leave = setTimeout(() => { if (!document.querySelector("form[data-typed]")) location.assign("/signed-out?idle=1"); }, seconds * 1000);
    };
    const keep = () => {
      told = Date.now();
      fetch("/session", { credentials: "same-origin" }).then((r) => { if (r.status === 204) { if (dialog.open) dialog.close(); arm(); } });
    };
    document.querySelector("[data-keep]").addEventListener("click", keep);
    // Typing counts as being there: the server hears of it once a minute.
    document.addEventListener("input", (event) => {
      const form = event.target.closest("form[method=post]");
      if (form) form.dataset.typed = "yes";
      if (Date.now() - told > 60000 && !dialog.open) keep();
    });
    arm();
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-print]")) window.print();
  });
  // A summary of faults takes the focus, so that it is read out first.
  const summary = document.querySelector(".summary[tabindex]");
  if (summary) summary.focus();
  const live = document.querySelector("[data-live]");
  if (live && window.EventSource) {
    const source = new EventSource(live.dataset.live);
    let due;
    source.addEventListener("changed", () => {
      clearTimeout(due);
      due = setTimeout(() => htmx.trigger(live, "refresh"), 1000);
    });
  }
})();
