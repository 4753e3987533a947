/** A file that serves nothing. */
process.stderr.write('nothing to serve here\n')
