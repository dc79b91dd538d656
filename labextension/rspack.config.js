// Added to what jupyter-builder configures: style sheets without their comments and spaces; modules and chunks
// numbered in order.  By default a number is a hash of the name, in four digits: where two names meet in one, which
// of them yields is chance, and a release could not be built a second time.  And what several parts share is a file of
// its own from 8 kB on: from the default of 20 kB, the judge of agreements was in four of them.
module.exports = {
  module: { rules: [{ test: /\.css$/, enforce: 'pre', loader: 'builtin:lightningcss-loader', options: { minify: true } }] },
  optimization: { moduleIds: 'natural', chunkIds: 'natural', splitChunks: { chunks: 'async', minSize: 8000 } }
};
