// Compiles src/ into lib/ file by file, without asking whether the types agree: that needs the types of JupyterLab,
// 400 MB of packages of which the extension brings none. `tsc` asks them in every other build.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

const { compilerOptions } = ts.parseConfigFileTextToJson('tsconfig.json', readFileSync('tsconfig.json', 'utf8')).config;
const { options, errors } = ts.convertCompilerOptionsFromJson(compilerOptions, '.');
const wrong = [...errors];

rmSync('lib', { recursive: true, force: true });
for (const name of readdirSync('src', { recursive: true })) {
  if (/\.tsx?$/.test(name) && !name.endsWith('.d.ts') && !name.includes('__tests__')) {
    const source = readFileSync(join('src', name), 'utf8');
    const made = ts.transpileModule(source, { compilerOptions: options, fileName: join('src', name), reportDiagnostics: true });
    wrong.push(...made.diagnostics);
    const target = join('lib', name.replace(/\.tsx?$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, made.outputText);
  }
}
if (wrong.length) {
  const host = { getCanonicalFileName: name => name, getCurrentDirectory: () => '', getNewLine: () => '\n' };
  console.error(ts.formatDiagnostics(wrong, host));
  process.exit(1);
}
