/** Style sheet of a report's page: colours that people with any colour vision tell apart (Okabe and Ito). */
export const STYLE = `
:root{color-scheme:light dark;--ground:#f4f6f8;--panel:#fff;--line:#cfd7df;--text:#14191e;--quiet:#55606b;--p0:#0069a8;--p1:#a94f83;--p2:#5c6873;--p3:#087a56;--p4:#8f5d00;--p5:#b34700;--bad:#b3261e;--good:#0b7a56;--warn:#fff4dc;--warnline:#b98a1d}
@media (prefers-color-scheme:dark){:root{--ground:#0f1317;--panel:#161b21;--line:#2a323b;--text:#e8edf2;--quiet:#a3aeba;--p0:#56b4e9;--p1:#cc79a7;--p2:#8d99a6;--p3:#1fa97c;--p4:#e69f00;--p5:#d55e00;--bad:#ff7b72;--good:#1fa97c;--warn:#2b2412;--warnline:#c9a24a}}
@media print{:root{--ground:#fff;--panel:#fff;--line:#cfd7df;--text:#000;--quiet:#444;--p0:#0069a8;--p1:#a94f83;--p2:#5c6873;--p3:#087a56;--p4:#8f5d00;--p5:#b34700;--bad:#b3261e;--good:#0b7a56;--warn:#fff;--warnline:#888}figure,section{break-inside:avoid}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:24px 16px 40px}
h1{font-size:26px;line-height:1.2;margin:0}
h2{font-size:16px;margin:0 0 8px}
.about{margin:4px 0 10px;color:var(--quiet)}
.time{margin:0;font-variant-numeric:tabular-nums}
.facts{list-style:none;display:flex;flex-wrap:wrap;gap:6px;margin:10px 0 0;padding:0}
.facts li{border:1px solid var(--line);background:var(--panel);border-radius:4px;padding:2px 9px;font-variant-numeric:tabular-nums}
.warnings{margin:16px 0 0;padding:10px 14px 10px 30px;background:var(--warn);border-left:4px solid var(--warnline);border-radius:0 4px 4px 0}
.notes{margin:18px 0 0;padding:0 0 0 16px;color:var(--quiet);font-size:13px}
figure,section{margin:18px 0 0;padding:14px 16px;background:var(--panel);border:1px solid var(--line);border-radius:6px}
figcaption{font-weight:600;margin-bottom:8px}
figure svg{display:block;width:100%;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;white-space:pre}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);font-weight:400}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--quiet);font-size:13px;vertical-align:bottom}
.number{text-align:right}
.bar{width:90px;height:10px;display:block}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 16px;margin:8px 0 0;padding:0;font-size:13px}
.legend svg{display:inline-block;width:11px;height:11px;margin-right:6px}
.label,.value,.tick{font-size:13px;fill:var(--text)}
.tick{fill:var(--quiet);font-size:12px}
.value{fill:var(--quiet)}
.grid{stroke:var(--line);stroke-width:1}
.zero{stroke:var(--quiet);stroke-width:1.5}
.span{stroke:var(--p0);stroke-width:3;stroke-linecap:round;opacity:.55}
.dot{fill:var(--p0)}
.end{fill:var(--panel);stroke:var(--p0);stroke-width:2}
.mark{stroke:var(--p0);stroke-width:2}
.worse .span{stroke:var(--bad)}.worse .dot{fill:var(--bad)}
.better .span{stroke:var(--good)}.better .dot{fill:var(--good)}
.open .span{stroke:var(--quiet)}.open .dot{fill:var(--quiet)}
.p0{fill:var(--p0)}.p1{fill:var(--p1)}.p2{fill:var(--p2)}.p3{fill:var(--p3)}.p4{fill:var(--p4)}.p5{fill:var(--p5)}
footer{margin-top:18px;color:var(--quiet);font-size:12px}
`;
