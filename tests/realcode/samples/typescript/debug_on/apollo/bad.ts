import { ApolloServer } from '@apollo/server';
import { resolvers, typeDefs } from './schema';

export const server = new ApolloServer({
  typeDefs,
  resolvers,
  introspection: true,
  includeStacktraceInErrorResponses: true,
});
