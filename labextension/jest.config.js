// The verifier needs no browser: its tests run on Node, and those of the plugins ask for jsdom in their first line.
const esm = ['@codemirror', '@jupyter', '@jupyterlab', '@lezer', '@noble', 'lib0', 'marked', 'nanoid', 'vscode-ws-jsonrpc', 'y-', 'yjs', 'exenv-es6'];

module.exports = {
  testEnvironment: 'node',
  // A guard against a test that hangs, far from what any takes on a slow machine.
  testTimeout: 120_000,
  // The corpus is written by Python, and its test run from there (tests/corpus).
  testPathIgnorePatterns: process.env.OPG_CORPUS ? [] : ['corpus\\..*spec'],
  testRegex: 'src/__tests__/.*\\.spec\\.tsx?$',
  setupFiles: ['<rootDir>/jest.setup.js'],
  moduleNameMapper: { '\\.(css|svg)$': '<rootDir>/jest.empty.js' },
  transform: { '\\.[jt]sx?$': ['ts-jest', { tsconfig: 'tsconfig.test.json', diagnostics: { exclude: ['**/node_modules/**'] } }] },
  transformIgnorePatterns: [`/node_modules/(?!${esm.join('|')})`]
};
