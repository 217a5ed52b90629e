export const oauth = {
  clientId: 'shop-web',
  clientSecret: '{{random_text}}',
  scope: 'openid',
};
