// The style of a report: light and dark, from 390 pixels up. Its colors can be told apart by color-blind readers (Okabe and Ito).

export const STYLE = `
:root { --page: #f6f7f9; --card: #fff; --ink: #14181f; --faint: #5a6472; --line: #dfe3e8; --band: #7a8699;
  --good: #0a6b4b; --good-page: #e3f5ee; --bad: #a12a1f; --bad-page: #fdecea; --link: #0b5cad;
  --c1: #0072b2; --c2: #d55e00; --c3: #008f6b; --c4: #b0699a; --c5: #a27500; --c6: #5a6472; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0e1116; --card: #161b22; --ink: #e8ecf1; --faint: #9aa5b4; --line: #2a313b; --band: #8b98ab;
    --good: #5fd6a8; --good-page: #10291f; --bad: #ff9d92; --bad-page: #361715; --link: #79b8f5;
    --c1: #56b4e9; --c2: #f0883e; --c3: #2fc296; --c4: #db97c4; --c5: #e0b43c; --c6: #9aa5b4; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 0; font-size: 1.05rem; }
header p { margin: 0.35rem 0 0; color: var(--faint); overflow-wrap: anywhere; }
header span { display: inline-block; }
.verdict { margin: 1.25rem 0; padding: 0.8rem 1rem; border-radius: 10px; border-left: 4px solid currentColor; }
.verdict p { margin: 0; }
.verdict p + p { margin-top: 0.3rem; }
.good { color: var(--good); background: var(--good-page); }
.bad { color: var(--bad); background: var(--bad-page); }
.plain { color: var(--ink); background: var(--card); border-left-color: var(--c1); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.75rem; margin: 0 0 0.75rem; padding: 0; list-style: none; }
.tiles li { padding: 0.8rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tiles span { display: block; color: var(--faint); font-size: 0.8rem; }
.tiles strong { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.tiles small { color: var(--faint); font-size: 0.8rem; }
figure { display: flex; flex-direction: column; }
figcaption { flex-grow: 1; }
.card { margin: 0 0 0.75rem; padding: 1rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; min-width: 0; }
.grid { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 0.75rem; }
figcaption p, .card > p { margin: 0.15rem 0 0; color: var(--faint); font-size: 0.87rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; margin: 0.6rem 0 0.3rem; padding: 0; list-style: none; font-size: 0.85rem; }
.legend i { display: inline-block; width: 1.1rem; height: 0; margin-right: 0.4rem; border-top: 3px solid; vertical-align: middle; }
.legend i.dashed { border-top-style: dashed; }
.legend output { display: inline-block; min-width: 3rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); }
.plot { min-height: 220px; color: var(--faint); overflow: hidden; }
.u-select { background: rgb(120 140 170 / 0.2); }
details { margin-top: 0.5rem; font-size: 0.87rem; }
summary { width: fit-content; color: var(--link); cursor: pointer; }
.scroll { margin-top: 0.5rem; max-height: 24rem; overflow: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.87rem; }
th, td { padding: 0.35rem 0.6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: var(--card); color: var(--faint); font-weight: 600; }
tbody th { font-weight: 500; }
tbody tr:last-child > * { border-bottom: 0; }
dl { margin: 0.6rem 0 0; }
dl div { display: grid; grid-template-columns: 10rem minmax(0, 1fr); gap: 0.25rem 1rem; padding: 0.35rem 0; border-bottom: 1px solid var(--line); font-size: 0.9rem; }
dl div:last-child { border-bottom: 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 1rem; color: var(--faint); font-size: 0.85rem; }
@media (max-width: 56rem) { .grid { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 34rem) {
  body { padding: 1.25rem 0.75rem 2rem; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.5rem; }
  .card { padding: 0.85rem 0.8rem; }
  dl div { grid-template-columns: minmax(0, 1fr); gap: 0; }
}
@media print { body { background: #fff; } .card, .tiles li { break-inside: avoid; } details { display: none; } }
`;
