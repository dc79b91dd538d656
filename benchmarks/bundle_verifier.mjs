// bundle_verifier.mjs TARGET: the verifier alone, as one script that puts it into globalThis.opg.
import { createRequire } from 'node:module';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = resolve(dirname(fileURLToPath(import.meta.url)), '../labextension');
const { rspack } = createRequire(resolve(home, 'package.json'))('@rspack/core');
const target = resolve(process.argv[2]);

rspack(
  {
    mode: 'production',
    context: home,
    entry: './src/verify/verify.ts',
    resolve: { extensions: ['.ts', '.js'] },
    module: {
      // One script, also of the parts that are loaded late elsewhere.
      parser: { javascript: { dynamicImportMode: 'eager' } },
      rules: [
        {
          test: /\.ts$/,
          loader: 'builtin:swc-loader',
          options: { jsc: { parser: { syntax: 'typescript' }, target: 'es2020' } }
        }
      ]
    },
    output: { path: dirname(target), filename: basename(target), library: { name: 'opg', type: 'var' } },
    performance: false
  },
  (error, stats) => {
    if (error || stats.hasErrors()) {
      console.error(error ?? stats.toString());
      process.exitCode = 1;
    }
  }
);
