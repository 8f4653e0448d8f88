// Opens pages in a headless Chromium and prints what it sees as JSON, one object per page. Usage: node check.mjs FILE...
// The pages come from a server of our own, which records every request.

import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../azurite/package.json", import.meta.url));

function needed(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    console.error(`the npm package ${name} is not installed: run npm ci --prefix tests/azurite`);
    process.exit(3);
  }
}

// An installed browser, or else the one of the npm package, with the libraries that it carries.
async function browser() {
  const names = [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"].filter(Boolean);
  const runs = (name) => spawnSync(name, ["--version"]).status === 0;
  const installed = names.find(runs);
  if (installed) {
    const found = spawnSync("sh", ["-c", 'command -v "$0"', installed], { encoding: "utf8" }).stdout.trim();
    return { executablePath: found, args: ["--no-sandbox"], headless: true };
  }
  // Makes the package unpack its libraries, which a bare machine lacks.
  process.env.AWS_LAMBDA_JS_RUNTIME ??= "nodejs20.x";
  needed("@sparticuz/chromium");
  const packed = (await import(require.resolve("@sparticuz/chromium"))).default;
  const executablePath = await packed.executablePath();
  // The fonts of the package, whose own configuration names them in /tmp alone.
  const [fonts, settings] = [join(tmpdir(), "fonts"), join(tmpdir(), "fonts.conf")];
  writeFileSync(settings, `<fontconfig><dir>${fonts}</dir><cachedir>${fonts}-cache</cachedir></fontconfig>`);
  process.env.FONTCONFIG_FILE = settings;
  if (!runs(executablePath)) {
    console.error(`there is no browser: install chromium, or name one in CHROMIUM; ${executablePath} does not run here`);
    process.exit(3);
  }
  return { executablePath, args: packed.args, headless: "shell" };
}

const files = process.argv.slice(2);
const requested = [];
const server = createServer((request, response) => {
  requested.push(request.url);
  const [, place, mode] = /^\/(\d+)\/(\w+)$/.exec(request.url) ?? [];
  if (place === undefined || !files[place]) return response.writeHead(404).end();
  const headers = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };
  if (mode === "strict") headers["content-security-policy"] = "default-src 'none'; sandbox";
  response.writeHead(200, headers).end(readFileSync(files[place]));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${server.address().port}`;

const puppeteer = needed("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const options = await browser();
options.args = [...options.args, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];
const chromium = await puppeteer.launch(options);

async function opened(address, seen, hasScripts) {
  const page = await chromium.newPage();
  await page.setJavaScriptEnabled(hasScripts);
  await page.setRequestInterception(true);
  page.on("request", (request) => {
    const isPage = request.url() === address || request.url() === "data:,";
    if (!isPage) seen.requests.push(request.url());
    return isPage ? request.continue() : request.abort();
  });
  page.on("dialog", (dialog) => {
    seen.dialogs.push(dialog.message());
    return dialog.dismiss();
  });
  page.on("console", (message) => {
    // A strict header blocks the style sheet and the script of the page, and says so.
    if (!address.endsWith("strict")) seen.console.push(message.text());
  });
  page.on("pageerror", (error) => seen.console.push(String(error)));
  await page.goto(address, { waitUntil: "load" });
  return page;
}

// The text in the order of the document, without what only the script adds.
const words = () => {
  const copy = document.body.cloneNode(true);
  for (const extra of copy.querySelectorAll("button.copy, #filters, script")) extra.remove();
  return copy.textContent.replace(/\s+/g, " ").trim();
};

async function look(place) {
  const seen = { requests: [], dialogs: [], console: [], violations: {}, overflow: {}, text: {}, shapes: {} };
  const count = () => document.querySelectorAll("svg[role=img] :is(rect, path, text)").length;
  for (const [mode, hasScripts] of [["scripts", true], ["bare", false], ["strict", true]]) {
    const page = await opened(`${origin}/${place}/${mode}`, seen, hasScripts);
    seen.text[mode] = await page.evaluate(words);
    seen.shapes[mode] = await page.evaluate(count);
    seen.acted = seen.acted || (await page.evaluate(() => window.evil !== undefined));
    if (mode === "strict") {
      seen.painted = await page.evaluate(() => {
        const box = document.querySelector("h1").getBoundingClientRect();
        return box.width > 100 && box.height > 10 && getComputedStyle(document.body).maxWidth === "none";
      });
    }
    if (mode === "scripts") await look_with_scripts(page, seen);
    await page.close();
  }
  return seen;
}

async function look_with_scripts(page, seen) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const width of [360, 1280]) {
      await page.setViewport({ width, height: 800 });
      seen.overflow[`${scheme} ${width}`] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    }
    await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
    await page.setViewport({ width: 360, height: 800 });
    seen.overflow[`${scheme} open`] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const bad = found.violations.filter((rule) => ["serious", "critical"].includes(rule.impact));
    seen.violations[scheme] = bad.map((rule) => `${rule.id}: ${rule.nodes[0].html} ${rule.nodes[0].failureSummary}`);
    seen.rules = found.passes.length;
  }
  await page.browserContext().overridePermissions(origin, ["clipboard-read", "clipboard-sanitized-write"]);
  seen.copied = await page.evaluate(async () => {
    const button = document.querySelector("button.copy");
    if (!button) return null;
    button.click();
    await new Promise((done) => setTimeout(done, 300));
    const source = document.getElementById(button.dataset.copy).textContent;
    return { said: button.textContent, isWhole: (await navigator.clipboard.readText()) === source };
  });
  seen.sorted = await page.evaluate(() => {
    const table = document.querySelector("#coverage ~ div table.sortable");
    if (!table) return null;
    const column = Array.from(table.tHead.rows[0].cells).findIndex((cell) => cell.textContent === "refused");
    const values = () => Array.from(table.tBodies[0].rows, (row) => Number(row.cells[column].textContent.replaceAll(",", "")));
    table.tHead.rows[0].cells[column].querySelector("button").click();
    return values();
  });
  seen.filtered = await page.evaluate(() => {
    const box = document.querySelector("#filters input");
    if (!box) return null;
    box.click();
    const findings = Array.from(document.querySelectorAll("article.finding"));
    return findings.filter((finding) => finding.hidden).length;
  });
}

try {
  const all = [];
  for (const place of files.keys()) all.push(await look(place));
  const stray = requested.filter((address) => !/^\/\d+\/(scripts|bare|strict)$/.test(address));
  console.log(JSON.stringify({ browser: await chromium.version(), stray, pages: all }));
} finally {
  await chromium.close();
  server.close();
}
