require 'yaml'
require 'sinatra'

post '/import' do
  data = YAML.safe_load(request.body.read)
  data.keys.join(',')
end
