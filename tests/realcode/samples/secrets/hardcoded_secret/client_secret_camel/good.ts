export const oauth = {
  clientId: 'shop-web',
  clientSecret: process.env.OAUTH_CLIENT_SECRET ?? '',
  scope: 'openid',
  requestId: '6f1c2a34-9b0d-4e57-8a11-0c2d3e4f5a6b',
};
